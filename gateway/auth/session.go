package auth

import (
	"cmp"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

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
	// maxLoginAddresses bounds the addresses whose log-ins are counted.
	maxLoginAddresses = 10_000
)

var (
	errSessionEnded  = problem.New(problem.Unauthenticated, "This session of the console has ended. Log in again.")
	errForeignOrigin = problem.New(problem.Forbidden, "The session of the console works only for its own pages, and a browser sent this request for a page of another origin (fields Sec-Fetch-Site and Origin). Behind a proxy, CAS_PUBLIC_URL must be the URL in the browser. Programs send a token.")
	errManyLogins    = problem.New(problem.TooManyRequests, "More than 5 wrong tokens came from this address within a minute. Try again in a minute.")
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
		if errors.Is(err, problem.Unauthenticated) && !a.logins.allow(c.Request().RemoteAddr) {
			return errManyLogins
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

// RequestToken returns the token of a request that was let through. It is false if the
// gateway has no authentication.
func (a *Authorizer) RequestToken(c echo.Context) (access.Token, bool, error) {
	if a.o.NoAuth {
		return access.Token{}, false, nil
	}
	known, err := a.tokenOf(c)
	return known.token, err == nil, err
}

// loginLimits bounds the log-ins from each address.
type loginLimits struct {
	mu       sync.Mutex
	limiters map[string]*rate.Limiter
}

func newLoginLimits() *loginLimits { return &loginLimits{limiters: map[string]*rate.Limiter{}} }

// allow takes one log-in off the allowance of an address, and reports false if nothing is
// left of it.
func (l *loginLimits) allow(remote string) bool {
	address := loginAddress(remote)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.limiters) >= maxLoginAddresses {
		l.forget()
	}
	limiter := l.limiters[address]
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Every(time.Minute/loginsPerMinute), loginsPerMinute)
		l.limiters[address] = limiter
	}
	return limiter.Allow()
}

// forget removes the addresses that have their whole allowance again, or all if there
// are none. The caller holds mu.
func (l *loginLimits) forget() {
	for address, limiter := range l.limiters {
		if limiter.Tokens() >= loginsPerMinute {
			delete(l.limiters, address)
		}
	}
	if len(l.limiters) >= maxLoginAddresses {
		clear(l.limiters)
	}
}

// loginAddress returns the part of a remote address that one client can't choose: an IPv6
// client has a whole /64.
func loginAddress(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	address, parseErr := netip.ParseAddr(cmp.Or(host, remote))
	if err != nil || parseErr != nil || address.Unmap().Is4() {
		return cmp.Or(host, remote)
	}
	prefix, err := address.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return prefix.String()
}
