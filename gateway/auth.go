package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"
	"golang.org/x/sync/singleflight"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/gateway/problem"
)

const (
	// tokenFresh is how long a token is trusted without asking the index: a
	// revocation takes at most that long to be heeded by every gateway.
	tokenFresh = 5 * time.Second
	// tokenStale is how long a known token goes on while the index can't be reached,
	// so that reads survive its absence.
	tokenStale = 15 * time.Minute
	// maxTokens bounds the cache; a deployment has far fewer.
	maxTokens = 10_000
	// lookupTimeout bounds a look-up that several requests may wait for.
	lookupTimeout = 10 * time.Second
	// useFlush is how often the last uses of tokens are written.
	useFlush = time.Minute
)

var errUnauthenticated = problem.New(problem.Unauthenticated, "Send a valid token as `Authorization: Bearer cas_…`; `cas token create` makes one.")

// allow lets a request through where its token has the scope.
func (g *Gateway) allow(scope access.Scope, next echo.HandlerFunc) echo.HandlerFunc {
	scopes := []access.Scope{scope}
	return g.allowAll(func(echo.Context) []access.Scope { return scopes }, next)
}

// allowAll lets a request through where its token has all the scopes that such a
// request needs.
func (g *Gateway) allowAll(needed func(echo.Context) []access.Scope, next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := g.authorize(c, needed(c)...); err != nil {
			return err
		}
		return next(c)
	}
}

// writeScopes are those of an upload, which may ask for copies.
func writeScopes(c echo.Context) []access.Scope {
	if c.Request().URL.RawQuery != "" && strings.Join(c.QueryParams()["providers"], "") != "" {
		return []access.Scope{access.ScopeWrite, access.ScopeSync}
	}
	return []access.Scope{access.ScopeWrite}
}

// removeScopes are those of a request that removes files at a provider: others
// may be using them, though the blob stays.
func removeScopes(echo.Context) []access.Scope {
	return []access.Scope{access.ScopeSync, access.ScopeDelete}
}

// reconcileScopes are those of a reconciliation, which removes files only where it
// is applied.
func reconcileScopes(c echo.Context) []access.Scope {
	if apply, err := boolParam(c, "apply"); err == nil && !apply {
		return []access.Scope{access.ScopeSync}
	}
	return removeScopes(c)
}

// allowHashURL lets a read through that is public, carries a valid signature, or
// has a token that may read.
func (g *Gateway) allowHashURL(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if g.o.PublicRead {
			aboutOf(c).actor = journal.ActorPublic
			return next(c)
		}
		if c.Request().URL.RawQuery != "" {
			if query := c.QueryParams(); access.IsSigned(query) {
				d, err := digestParam(c)
				if err != nil {
					return err
				}
				// A signature for GET covers HEAD: it tells less.
				signature, err := access.ParseSignature(http.MethodGet, d, query)
				if err != nil {
					return err
				}
				if err := g.keys.verify(c.Request().Context(), signature); err != nil {
					return err
				}
				aboutOf(c).actor = journal.ActorURL
				return next(c)
			}
		}
		if err := g.authorize(c, access.ScopeRead); err != nil {
			return err
		}
		return next(c)
	}
}

// authorize checks the request's token. Wrong ids and wrong secrets take the
// same time and give the same answer.
func (g *Gateway) authorize(c echo.Context, scopes ...access.Scope) error {
	if g.o.NoAuth {
		aboutOf(c).actor = journal.ActorNone
		return nil
	}
	known, err := g.tokenOf(c)
	if err != nil {
		return err
	}
	aboutOf(c).actor = known.actor
	if !g.rates.allow(known.token.ID) {
		return errTooManyRequests
	}
	return checkScopes(known.token, scopes)
}

// authorizeMore checks that a request that was let through has a scope too which
// it turned out to need.
func (g *Gateway) authorizeMore(c echo.Context, scope access.Scope) error {
	if g.o.NoAuth {
		return nil
	}
	known, err := g.tokenOf(c)
	if err != nil {
		return err
	}
	return checkScopes(known.token, []access.Scope{scope})
}

func (g *Gateway) tokenOf(c echo.Context) (cachedToken, error) {
	scheme, text, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return cachedToken{}, errUnauthenticated
	}
	return g.tokens.authenticate(c.Request().Context(), strings.TrimSpace(text))
}

func checkScopes(token access.Token, scopes []access.Scope) error {
	for _, scope := range scopes {
		if !token.Allows(scope) {
			return problem.New(problem.Forbidden, fmt.Sprintf("This token lacks the scope %q; it has %s.", scope, access.JoinScopes(token.Scopes)))
		}
	}
	return nil
}

// tokenCache keeps tokens that were presented for a few seconds, and notes their
// use. It finds them by the SHA-256 of their text: how long that takes tells
// nothing about the texts there are.
type tokenCache struct {
	index AccessIndex
	log   zerolog.Logger
	group singleflight.Group

	mu     sync.RWMutex
	tokens map[textHash]cachedToken
	used   map[string]time.Time
}

type textHash [sha256.Size]byte

// cachedToken is a token whose secret was found right.
type cachedToken struct {
	token   access.Token
	actor   string // as the journal has it
	fetched time.Time
	tried   time.Time // when the index was last asked in vain, or fetched
}

func newTokenCache(index AccessIndex, log zerolog.Logger) *tokenCache {
	return &tokenCache{index: index, log: log, tokens: map[textHash]cachedToken{}, used: map[string]time.Time{}}
}

// authenticate returns the token of which text is the text, if it is valid. Only
// tokens found right are remembered.
func (t *tokenCache) authenticate(ctx context.Context, text string) (cachedToken, error) {
	now := time.Now()
	hash := textHash(sha256.Sum256([]byte(text)))
	t.mu.RLock()
	cached, known := t.tokens[hash]
	lastUse := t.used[cached.token.ID]
	t.mu.RUnlock()
	// While the index hangs, one request in a while waits for it, not every one.
	if known && now.Sub(cached.tried) < tokenFresh && now.Sub(cached.fetched) < tokenStale {
		if !cached.token.IsValid(now) {
			return cachedToken{}, errUnauthenticated
		}
		if now.Sub(lastUse) > time.Second {
			t.noteUse(cached.token.ID, now)
		}
		return cached, nil
	}

	credential, err := access.ParseCredential(text)
	if err != nil {
		return cachedToken{}, errUnauthenticated
	}
	token, err := t.lookUp(ctx, credential.ID)
	switch {
	case errors.Is(err, cas.ErrIndexUnavailable) && known && now.Sub(cached.fetched) < tokenStale && cached.token.IsValid(now):
		cached.tried = time.Now()
		t.put(hash, cached)
		return cached, nil
	case err != nil && !errors.Is(err, access.ErrTokenNotFound):
		return cachedToken{}, err
	case !credential.Matches(token, now):
		t.drop(hash)
		return cachedToken{}, errUnauthenticated
	}
	fresh := cachedToken{token: token, actor: journal.ActorToken + token.ID, fetched: now, tried: now}
	t.put(hash, fresh)
	t.noteUse(token.ID, now)
	return fresh, nil
}

// lookUp asks the index, once for all who ask for the same token at a time, and
// outlives the request that began it, since others may wait for it.
func (t *tokenCache) lookUp(ctx context.Context, id string) (access.Token, error) {
	result := t.group.DoChan(id, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		defer cancel()
		return t.index.Token(ctx, id)
	})
	select {
	case r := <-result:
		token, _ := r.Val.(access.Token)
		return token, r.Err
	case <-ctx.Done():
		return access.Token{}, ctx.Err()
	}
}

func (t *tokenCache) put(hash textHash, token cachedToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.tokens) >= maxTokens {
		clear(t.tokens)
	}
	t.tokens[hash] = token
}

func (t *tokenCache) drop(hash textHash) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tokens, hash)
}

func (t *tokenCache) noteUse(id string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used[id] = now
}

// flushLoop writes the uses noted now and then, and once more at the end.
func (t *tokenCache) flushLoop(ctx context.Context) {
	tick := time.NewTicker(useFlush)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.flush(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			t.flush(last)
			return
		}
	}
}

func (t *tokenCache) flush(ctx context.Context) {
	t.mu.Lock()
	used := t.used
	t.used = map[string]time.Time{}
	t.mu.Unlock()
	if len(used) == 0 {
		return
	}
	if err := t.index.UseTokens(ctx, used); err != nil {
		t.log.Warn().Err(err).Int("tokens", len(used)).Msg("could not record when tokens were last used")
	}
}
