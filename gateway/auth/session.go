package auth

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas/access"
	"casgate/gateway/problem"
	"casgate/gateway/request"
)

const (
	// sessionCookie is the name of the cookie with a session of the console.
	sessionCookie = "casgate_session"
	// sessionLife is how long a session lasts. It ends before if its token does.
	sessionLife = 12 * time.Hour
	// loginsPerMinute bounds the log-ins from one address.
	loginsPerMinute = 5
)

var (
	errSessionEnded  = problem.New(problem.Unauthenticated, "This session of the console has ended. Log in again.")
	errForeignOrigin = problem.New(problem.Forbidden, "The session of the console works only for its own pages, and a browser sent this request for a page of another origin (fields Sec-Fetch-Site and Origin). Behind a proxy, CAS_PUBLIC_URL must be the URL in the browser. Programs send a token.")
	errUnknownPage   = problem.New(problem.Forbidden, "A browser sent this request for a page whose origin is not known (field Origin). CAS_CORS_ORIGINS allows origins.")
	errNoLogin       = problem.New(problem.InvalidRequest, "This gateway has no authentication (CAS_AUTH=none), so there is nothing to log in to.")
)

// TokenOrSession is Token that also takes the session of the console, which a browser
// sends in a cookie. Routes for programs alone don't use it.
func (a *Authorizer) TokenOrSession(needed ScopesOf) echo.MiddlewareFunc {
	token := a.Token(needed)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		next = token(next)
		return func(c echo.Context) error {
			request.StateOf(c).TakesSession = !a.o.NoSessions
			return next(c)
		}
	}
}

// tokenOfSession returns the token of the session that a request sends in its cookie.
func (a *Authorizer) tokenOfSession(c echo.Context) (cachedToken, error) {
	cookie, err := c.Request().Cookie(sessionCookie)
	if err != nil {
		return cachedToken{}, errUnauthenticated
	}
	if a.isOfAnotherOrigin(c.Request()) {
		return cachedToken{}, errForeignOrigin
	}
	session, err := access.ParseSession(cookie.Value)
	if err != nil {
		return cachedToken{}, errSessionEnded
	}
	key, err := a.keys.find(c.Request().Context(), session.KeyID)
	if err == nil {
		err = session.Verify(key, time.Now())
	}
	if err != nil {
		return cachedToken{}, endOfSession(err)
	}
	known, err := a.tokens.ofSession(c.Request().Context(), session.TokenID)
	if err != nil {
		return cachedToken{}, endOfSession(err)
	}
	return known, nil
}

// endOfSession returns the error of a session that no longer counts. An index that
// doesn't answer ends no session.
func endOfSession(err error) error {
	for _, end := range []error{access.ErrBadSession, access.ErrBadSignature, problem.Unauthenticated} {
		if errors.Is(err, end) {
			return errSessionEnded
		}
	}
	return err
}

// isOfAnotherOrigin reports whether a browser sends the request for a page of another
// origin. Reads count, too, if the browser says so: some reads make copies, and cookies
// don't tell two ports of a host apart (RFC 6265, section 8.5).
func (a *Authorizer) isOfAnotherOrigin(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	if site == "" { // an old browser, which may say it in Origin, also for a read
		if origin := r.Header.Get("Origin"); origin != "" {
			page, err := url.Parse(origin)
			return err != nil || page.Host != r.Host && page.Host != a.publicHost || a.crossOrigin.Check(r) != nil
		}
	}
	return a.crossOrigin.Check(r) != nil || site == "cross-site" || site == "same-site"
}

// StartSession starts a session of the token with this text, and sets its cookie.
func (a *Authorizer) StartSession(c echo.Context, text string) error {
	if a.o.NoAuth {
		return errNoLogin
	}
	ctx, now := c.Request().Context(), time.Now()
	known, err := a.tokens.authenticate(ctx, strings.TrimSpace(text))
	if err != nil {
		// Only wrong tokens count: behind a proxy all clients have one address, and one
		// of them must not lock the others out.
		if errors.Is(err, problem.Unauthenticated) {
			return cmp.Or(a.checkLogins(c.Request().RemoteAddr), err)
		}
		return err
	}
	key, err := a.keys.signing(ctx)
	if err != nil {
		return err
	}
	request.StateOf(c).Record.Actor = known.actor
	session := key.SignSession(access.Session{TokenID: known.token.ID, Issued: now, Expires: now.Add(sessionLife)})
	a.setCookie(c, session.Text(), int(sessionLife/time.Second))
	return nil
}

// EndSession makes the browser forget its session. The token stays valid.
func (a *Authorizer) EndSession(c echo.Context) { a.setCookie(c, "", -1) }

// setCookie sets the cookie of the session. A negative age, in seconds, deletes it.
func (a *Authorizer) setCookie(c echo.Context, value string, age int) {
	c.SetCookie(&http.Cookie{
		Name: sessionCookie, Value: value, Path: a.o.URLs.Path() + "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: strings.HasPrefix(a.o.URLs.Base, "https:"),
	})
}

// OwnPages refuses requests that a browser sends for a page of another origin. It is for
// routes that need no token and set the cookie.
func (a *Authorizer) OwnPages(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if a.isOfAnotherOrigin(c.Request()) {
			return errForeignOrigin
		}
		return next(c)
	}
}

// KnownPages refuses requests that a browser sends for a page whose origin is neither the
// gateway's own nor one of Options.CORSOrigins, whatever token they have. A page can let the
// name of its own host resolve to the gateway's address (DNS rebinding), so that its origin
// and the host of the request are the same. See "Security Warning" in the transports of MCP
// 2025-06-18.
func (a *Authorizer) KnownPages(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if origins := c.Request().Header.Values(echo.HeaderOrigin); len(origins) > 0 && !a.isKnownPage(origins, c.Request().Host) {
			return errUnknownPage
		}
		return next(c)
	}
}

func (a *Authorizer) isKnownPage(origins []string, host string) bool {
	if len(origins) > 1 {
		return false
	}
	if slices.Contains(a.knownOrigins, origins[0]) {
		return true
	}
	page, err := url.Parse(origins[0])
	return err == nil && page.Host != "" && page.Host == host && access.IsLocalHost(host)
}

// RequestToken returns the token of a request that was let through. It is false if the
// gateway has no authentication.
func (a *Authorizer) RequestToken(c echo.Context) (access.Token, bool, error) {
	if a.o.NoAuth {
		return access.Token{}, false, nil
	}
	known, err := a.tokenOf(c)
	return known.token, err == nil, err
}
