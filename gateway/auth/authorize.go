// Package auth decides which requests may do what: by their token and its scopes, by
// a signed URL, or because reads are public. It also makes signed URLs.
package auth

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/view"
)

// Index stores tokens and signing keys.
type Index interface {
	// Token returns the token of this id, or access.ErrTokenNotFound.
	Token(ctx context.Context, id string) (access.Token, error)
	// UseTokens records when tokens, by id, were last used.
	UseTokens(ctx context.Context, used map[string]time.Time) error
	// SigningKeys returns the keys not retired, newest first.
	SigningKeys(ctx context.Context) ([]access.SigningKey, error)
	// AddSigningKey stores a new key.
	AddSigningKey(ctx context.Context, key access.SigningKey) error
}

// Options configures an Authorizer.
type Options struct {
	Index Index
	// NoAuth allows every request everything.
	NoAuth bool
	// PublicRead allows every request to read hash URLs.
	PublicRead bool
	// NoSessions takes no sessions of the console.
	NoSessions bool
	// RequestsPerSecond bounds each token's requests, with bursts of twice as many;
	// 0: no bound.
	RequestsPerSecond float64
	URLs              view.URLs
	// CORSOrigins are the origins of other pages that may use the API.
	CORSOrigins []string
	// KeyMade is called after the first signing key was made here.
	KeyMade func(id string, start time.Time)
	Log     zerolog.Logger
}

// Authorizer authorizes requests.
type Authorizer struct {
	o      Options
	tokens *tokenCache
	keys   *keyRing
	rates  *limits // of requests
	logins *limits // with wrong tokens
	// publicHost is the host of the public URL.
	publicHost string
	// knownOrigins are that of the public URL, and Options.CORSOrigins.
	knownOrigins []string
	// crossOrigin finds the requests that a browser sends for a page of another origin.
	crossOrigin http.CrossOriginProtection
	// otherPages is crossOrigin without those of Options.CORSOrigins. They may use the API
	// as programs do, and never a session of the console.
	otherPages http.CrossOriginProtection
}

// New returns an Authorizer.
func New(o Options) *Authorizer {
	a := &Authorizer{
		o: o, tokens: newTokenCache(o.Index, o.Log), keys: newKeyRing(o.Index, o.KeyMade), rates: newRateLimits(o.RequestsPerSecond),
		logins: newLoginLimits(),
	}
	var scheme string
	scheme, a.publicHost, _ = strings.Cut(o.URLs.Base, "://")
	a.publicHost, _, _ = strings.Cut(a.publicHost, "/")
	own := scheme + "://" + a.publicHost
	a.knownOrigins = append([]string{own}, o.CORSOrigins...)
	// It fails only for what is no origin, and then there is none to trust.
	_ = a.crossOrigin.AddTrustedOrigin(own)
	for _, origin := range a.knownOrigins {
		_ = a.otherPages.AddTrustedOrigin(origin)
	}
	return a
}

// Run writes the last uses of tokens to the index until ctx is done, and then once
// more.
func (a *Authorizer) Run(ctx context.Context) { a.tokens.flushLoop(ctx) }

var (
	errUnauthenticated = problem.New(problem.Unauthenticated, "Send a valid token as `Authorization: Bearer cas_…`; `cas token create` makes one.")
	errForeignHost     = problem.New(problem.Forbidden, "This gateway has no authentication, and answers only to its public URL, IP addresses and localhost.")
	errForeignPage     = problem.New(problem.Forbidden, "This gateway has no authentication, so it refuses writes that a browser sends for a page of another origin (fields Sec-Fetch-Site and Origin). CAS_CORS_ORIGINS allows origins.")
)

// ScopesOf returns the scopes that a request needs.
type ScopesOf func(echo.Context) []access.Scope

// Scopes returns a ScopesOf for requests that always need the same scopes.
func Scopes(scopes ...access.Scope) ScopesOf {
	return func(echo.Context) []access.Scope { return scopes }
}

// Token lets a request through if its token has all the scopes that the request
// needs.
func (a *Authorizer) Token(needed ScopesOf) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := a.authorize(c, needed(c)); err != nil {
				return err
			}
			return next(c)
		}
	}
}

// TokenWithAny lets a request through if its token has one of the scopes.
func (a *Authorizer) TokenWithAny(scopes ...access.Scope) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			err := a.authorize(c, nil)
			if err != nil {
				return err
			}
			for _, scope := range scopes {
				if err = a.Require(c, scope); err == nil {
					return next(c)
				}
			}
			return err
		}
	}
}

// The values that these fields have in each answer to a signed URL.
var (
	anyOrigin      = []string{"*"}
	exposedHeaders = []string{strings.Join(api.ExposedHeaders, ", ")}
)

// actorTimeout is how long a public read waits for the name of its actor.
const actorTimeout = 100 * time.Millisecond

var readScopes = []access.Scope{access.ScopeRead}

// HashURL lets a read of a hash URL through if reads are public, if the URL has a valid
// signature, or if the token may read.
func (a *Authorizer) HashURL(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		request.StateOf(c).TakesSession = !a.o.NoSessions
		if err := a.authorizeHashURL(c); err != nil {
			return err
		}
		return next(c)
	}
}

func (a *Authorizer) authorizeHashURL(c echo.Context) error {
	signed := request.HasQuery(c) && access.IsSigned(c.QueryParams())
	if a.o.PublicRead {
		state := request.StateOf(c)
		state.Record.Actor, state.MayRead = journal.ActorPublic, true
		switch {
		case signed:
			_ = a.checkSignature(c) // a bad one only loses the name and type that it would show
		case sentToken(c.Request().Header) != "":
			// The journal says whose read it is. A wrong token may read, too, and nobody waits
			// for an index that hangs.
			ctx, cancel := context.WithTimeout(c.Request().Context(), actorTimeout)
			defer cancel()
			if known, err := a.tokens.authenticate(ctx, sentToken(c.Request().Header)); err == nil {
				state.Record.Actor = known.actor
			}
		}
		return nil
	}
	if signed {
		return a.checkSignature(c)
	}
	return a.authorize(c, readScopes)
}

// checkSignature checks the signature of a hash URL, and notes how it shows the blob.
func (a *Authorizer) checkSignature(c echo.Context) error {
	d, err := request.Digest(c)
	if err != nil {
		return err
	}
	// A signature for GET covers HEAD, which tells less.
	signature, err := access.ParseSignature(http.MethodGet, d, c.QueryParams())
	if err != nil {
		return err
	}
	if err := a.keys.verify(c.Request().Context(), signature); err != nil {
		return err
	}
	// A page of any origin may read what it has a signed URL of. The answer says so also if
	// no page asks: a browser may keep it, and give it to a page later.
	h := c.Response().Header()
	h[echo.HeaderAccessControlAllowOrigin], h[echo.HeaderAccessControlExposeHeaders] = anyOrigin, exposedHeaders
	state := request.StateOf(c)
	state.Record.Actor, state.MayRead = journal.ActorURL, true
	state.ShownName, state.ShownType = signature.Shown.Name, signature.Shown.MediaType
	state.URLExpires = signature.Expires
	return nil
}

// authorize checks the token of a request. Wrong ids and wrong secrets take the same
// time and get the same answer.
func (a *Authorizer) authorize(c echo.Context, scopes []access.Scope) error {
	state := request.StateOf(c)
	actor := &state.Record.Actor
	if a.o.NoAuth {
		if host := c.Request().Host; !access.IsLocalHost(host) && host != a.publicHost {
			return errForeignHost
		}
		if a.otherPages.Check(c.Request()) != nil {
			return errForeignPage
		}
		*actor, state.MayRead = journal.ActorNone, true
		return nil
	}
	known, err := a.tokenOf(c)
	if err != nil {
		return err
	}
	*actor, state.MayRead = known.actor, known.token.Allows(access.ScopeRead)
	if err := a.checkRate(known.token.ID); err != nil {
		return err
	}
	return checkScopes(known.token, scopes)
}

// Require checks a further scope of a request that was let through, if the need for it
// shows only in the body.
func (a *Authorizer) Require(c echo.Context, scope access.Scope) error {
	if a.o.NoAuth {
		return nil
	}
	known, err := a.tokenOf(c)
	if err != nil {
		return err
	}
	return checkScopes(known.token, []access.Scope{scope})
}

// Forget drops what the gateway knows of a token, so that its next use asks the index.
func (a *Authorizer) Forget(tokenID string) { a.tokens.forget(tokenID) }

func (a *Authorizer) tokenOf(c echo.Context) (cachedToken, error) {
	h := c.Request().Header
	text := sentToken(h)
	if text == "" && len(h.Values(echo.HeaderAuthorization)) == 0 && request.StateOf(c).TakesSession {
		return a.tokenOfSession(c)
	}
	if text == "" {
		return cachedToken{}, errUnauthenticated
	}
	return a.tokens.authenticate(c.Request().Context(), text)
}

// SentToken returns the text of the token that a request sends, or "".
func (a *Authorizer) SentToken(h http.Header) string { return sentToken(h) }

// sentToken returns the token that a request sends, or "".
func sentToken(h http.Header) string {
	if field := h.Get(echo.HeaderAuthorization); field != "" {
		scheme, text, _ := strings.Cut(field, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return ""
		}
		return strings.TrimSpace(text)
	}
	for _, name := range request.KeyHeaders {
		if text := strings.TrimSpace(h.Get(name)); text != "" {
			return text
		}
	}
	return ""
}

func checkScopes(token access.Token, scopes []access.Scope) error {
	for _, scope := range scopes {
		if !token.Allows(scope) {
			return problem.New(problem.Forbidden, fmt.Sprintf("This token lacks the scope %q; it has %s.", scope, access.JoinScopes(token.Scopes)))
		}
	}
	return nil
}

// SignURL returns a URL at which a blob can be read without a token until then. It does
// not check that there is such a blob.
func (a *Authorizer) SignURL(ctx context.Context, d cas.Digest, shown access.Shown, expires time.Time) (api.SignedURL, error) {
	key, err := a.keys.signing(ctx)
	if err != nil {
		return api.SignedURL{}, err
	}
	signature := key.Sign(http.MethodGet, d, shown, expires)
	return api.SignedURL{
		URL:       a.o.URLs.Blob(d) + "?" + signature.Query().Encode(),
		ExpiresAt: signature.Expires,
	}, nil
}
