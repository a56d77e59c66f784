package auth

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/access"
)

// hangingIndex knows one token and one key, and can hang for five seconds before
// it fails, as a driver does whose server no longer answers.
type hangingIndex struct {
	token access.Token
	key   access.SigningKey
	hangs bool
	asked int
}

func (h *hangingIndex) answer() error {
	h.asked++
	if !h.hangs {
		return nil
	}
	<-time.After(5 * time.Second)
	return fmt.Errorf("look up: %w", cas.ErrIndexUnavailable)
}

func (h *hangingIndex) Token(context.Context, string) (access.Token, error) {
	return h.token, h.answer()
}

func (h *hangingIndex) SigningKeys(context.Context) ([]access.SigningKey, error) {
	return []access.SigningKey{h.key}, h.answer()
}

func (h *hangingIndex) UseTokens(context.Context, map[string]time.Time) error  { return nil }
func (h *hangingIndex) AddSigningKey(context.Context, access.SigningKey) error { return nil }

// While the index hangs, a known token and a known key go on, and one request in
// a while waits for it, not every one. The clock is synctest's.
func TestHangingIndexHoldsUpFewRequests(t *testing.T) {
	token, text := access.NewToken("test", []access.Scope{access.ScopeRead}, time.Time{})
	index := &hangingIndex{token: token, key: access.NewSigningKey()}
	for name, check := range map[string]func() func(context.Context) error{
		"token": func() func(context.Context) error {
			cache := newTokenCache(index, zerolog.Nop())
			return func(ctx context.Context) error { _, err := cache.authenticate(ctx, text); return err }
		},
		"key": func() func(context.Context) error {
			ring := newKeyRing(index, func(string, time.Time) {})
			return func(ctx context.Context) error {
				return ring.verify(ctx, index.key.Sign(http.MethodGet, cas.Digest{}, access.Shown{}, time.Now().Add(time.Hour)))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				index.hangs, index.asked = false, 0
				use := check()
				if err := use(t.Context()); err != nil {
					t.Fatal(err)
				}
				index.hangs = true
				<-time.After(time.Minute)
				start, waited := time.Now(), 0
				for range 20 {
					before := time.Now()
					if err := use(t.Context()); err != nil {
						t.Fatalf("after %v of silence: %v", time.Since(start), err)
					}
					if time.Since(before) > 0 {
						waited++
					}
				}
				if waited != 1 {
					t.Errorf("%d of 20 requests waited for an index that hangs", waited)
				}
				index.hangs = false
				<-time.After(time.Minute)
				asked := index.asked
				if err := use(t.Context()); err != nil || index.asked != asked+1 {
					t.Errorf("after it came back: asked %d times, %v", index.asked-asked, err)
				}
			})
		})
	}
}

// A token outlives the index's silence for a bounded time.
func TestTokenDoesNotOutliveALongSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token, text := access.NewToken("test", nil, time.Time{})
		index := &hangingIndex{token: token}
		cache := newTokenCache(index, zerolog.Nop())
		if _, err := cache.authenticate(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		index.hangs = true
		<-time.After(tokenStale)
		if _, err := cache.authenticate(t.Context(), text); err == nil {
			t.Error("it still works")
		}
	})
}
