package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/singleflight"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/journal"
)

const (
	// tokenFresh is how long a token is trusted without asking the index: a revocation
	// takes effect at every gateway within that time.
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

// tokenCache keeps presented tokens for a few seconds, and the times of their last
// use. Its key has the SHA-256 of a token's text, so that the time of a look-up tells
// nothing about the texts in it.
type tokenCache struct {
	index Index
	log   zerolog.Logger
	group singleflight.Group

	mu     sync.RWMutex
	tokens map[tokenKey]cachedToken
	used   map[string]time.Time
}

// tokenKey has the SHA-256 of a token's text; for a session, the token's id instead.
type tokenKey struct {
	text      [sha256.Size]byte
	sessionOf string
}

// cachedToken is a token whose secret was checked.
type cachedToken struct {
	token   access.Token
	actor   string // as the journal has it
	fetched time.Time
	tried   time.Time // when the index was last asked, with or without an answer
}

func newTokenCache(index Index, log zerolog.Logger) *tokenCache {
	return &tokenCache{index: index, log: log, tokens: map[tokenKey]cachedToken{}, used: map[string]time.Time{}}
}

// authenticate returns the token with this text, if it is valid. Only valid tokens are
// kept.
func (t *tokenCache) authenticate(ctx context.Context, text string) (cachedToken, error) {
	now := time.Now()
	key := tokenKey{text: sha256.Sum256([]byte(text))}
	cached, lastUse := t.get(key)
	if cached.isFresh(now) {
		return t.use(cached, lastUse, now)
	}
	credential, err := access.ParseCredential(text)
	if err != nil {
		return cachedToken{}, errUnauthenticated
	}
	return t.fetch(ctx, fetch{key: key, id: credential.ID, cached: cached, matches: credential.Matches})
}

// ofSession returns the token of this id, if it is valid. The caller has verified the
// session.
func (t *tokenCache) ofSession(ctx context.Context, id string) (cachedToken, error) {
	now := time.Now()
	key := tokenKey{sessionOf: id}
	cached, lastUse := t.get(key)
	if cached.isFresh(now) {
		return t.use(cached, lastUse, now)
	}
	return t.fetch(ctx, fetch{key: key, id: id, cached: cached, matches: func(token access.Token, now time.Time) bool {
		return token.ID == id && token.IsValid(now)
	}})
}

// isFresh reports whether the token counts without asking the index. While the index
// hangs, one request every few seconds waits for it, not all.
func (c cachedToken) isFresh(now time.Time) bool {
	return now.Sub(c.tried) < tokenFresh && now.Sub(c.fetched) < tokenStale
}

// use returns a fresh token, unless it has expired.
func (t *tokenCache) use(cached cachedToken, lastUse, now time.Time) (cachedToken, error) {
	if !cached.token.IsValid(now) {
		return cachedToken{}, errUnauthenticated
	}
	if now.Sub(lastUse) > time.Second {
		t.noteUse(cached.token.ID, now)
	}
	return cached, nil
}

// fetch is a look-up of a token that is not fresh.
type fetch struct {
	key     tokenKey
	id      string
	cached  cachedToken // zero if there is none
	matches func(access.Token, time.Time) bool
}

func (t *tokenCache) fetch(ctx context.Context, f fetch) (cachedToken, error) {
	now := time.Now()
	token, err := t.lookUp(ctx, f.id)
	switch {
	case (errors.Is(err, cas.ErrIndexUnavailable) || errors.Is(err, context.DeadlineExceeded)) && now.Sub(f.cached.fetched) < tokenStale && f.cached.token.IsValid(now):
		f.cached.tried = time.Now()
		t.put(f.key, f.cached)
		return f.cached, nil
	case err != nil && !errors.Is(err, access.ErrTokenNotFound):
		return cachedToken{}, err
	case !f.matches(token, now):
		t.drop(f.key)
		return cachedToken{}, errUnauthenticated
	}
	fresh := cachedToken{token: token, actor: journal.ActorToken + token.ID, fetched: now, tried: now}
	t.put(f.key, fresh)
	t.noteUse(token.ID, now)
	return fresh, nil
}

// lookUp asks the index, once for all requests that need the same token at the same
// time. It goes on if the first of them ends, since others may wait for it.
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

// get returns the token that is kept under a key, or the zero value, which is not fresh,
// and when it was last used.
func (t *tokenCache) get(key tokenKey) (cached cachedToken, lastUse time.Time) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	cached = t.tokens[key]
	return cached, t.used[cached.token.ID]
}

func (t *tokenCache) put(key tokenKey, token cachedToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.tokens) >= maxTokens {
		clear(t.tokens)
	}
	t.tokens[key] = token
}

func (t *tokenCache) drop(key tokenKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tokens, key)
}

// forget drops a token by its id.
func (t *tokenCache) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.tokens, func(_ tokenKey, c cachedToken) bool { return c.token.ID == id })
}

func (t *tokenCache) noteUse(id string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used[id] = now
}

// flushLoop writes the last uses every useFlush, and once more at the end.
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
