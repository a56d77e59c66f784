package index_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/index"
	"casgate/index/indextest"
	"casgate/providers"
	"casgate/providers/ledger"
)

// newCachedLedger makes a cache for the time of a test.
func newCachedLedger(t testing.TB, inner ledger.Store, o index.LedgerOptions) *index.CachedLedger {
	t.Helper()
	o.Entries = cmp.Or(o.Entries, 10_000) // the default takes long to make
	c, err := index.NewCachedLedger(inner, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// hits asks for the copy and the text, and reports whether each came from memory.
func hits(t testing.TB, c *index.CachedLedger) (copy, text bool) {
	t.Helper()
	before := c.Hits()
	if _, err := c.Copy(t.Context(), someKey); err != nil {
		t.Fatal(err)
	}
	between := c.Hits()
	if _, err := c.ExtractedText(t.Context(), someText); err != nil {
		t.Fatal(err)
	}
	return between > before, c.Hits() > between
}

// warmLedger asks until both answers come from memory.
func warmLedger(t testing.TB, c *index.CachedLedger) {
	t.Helper()
	for range 100 {
		if copy, text := hits(t, c); copy && text {
			return
		}
		c.Settle()
	}
	t.Fatal("the copy and the text are not remembered")
}

// goneCopy fails the test unless the cache says that there is neither.
func goneCopy(t testing.TB, c *index.CachedLedger) {
	t.Helper()
	c.Settle()
	if row, err := c.Copy(t.Context(), someKey); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("Copy returned %+v, error %v; want ledger.ErrNotFound", row, err)
	}
	if text, err := c.ExtractedText(t.Context(), someText); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("ExtractedText returned %s, error %v; want ledger.ErrNotFound", text, err)
	}
}

func TestCachedLedgerForgets(t *testing.T) {
	t.Parallel()
	lost := fmt.Errorf("%w: lost", cas.ErrIndexUnavailable)
	changeBy := func(t ledger.Transition) func(ctx context.Context, c *index.CachedLedger) {
		return func(ctx context.Context, c *index.CachedLedger) { c.Change(ctx, t) }
	}
	for name, change := range map[string]func(ctx context.Context, c *index.CachedLedger){
		"SetExtractedText": func(ctx context.Context, c *index.CachedLedger) { c.SetExtractedText(ctx, someText, some) },
		"Enter":            changeBy(ledger.Enter(ledger.Wanted{Key: someKey}, "1")),
		"Request":          changeBy(ledger.Request(ledger.Wanted{Key: someKey})),
		"Claim":            changeBy(ledger.Claim(ledger.Wanted{Key: someKey}, 0)),
		"Complete":         changeBy(ledger.Complete(someKey, 1, providers.RemoteFile{})),
		"Fail":             changeBy(ledger.Fail(someKey, 1, ledger.Failure{})),
		"Lose":             changeBy(ledger.Lose(someKey, "1", 1, 0)),
		"Delete":           changeBy(ledger.Delete(someKey, "", 0)),
		"FinishDelete":     changeBy(ledger.FinishDelete(someKey, 1, ledger.StateDeleted, 0)),
		"FailDelete":       changeBy(ledger.FailDelete(someKey, 1, ledger.Failure{})),
		"EvictLeastUsed": func(ctx context.Context, c *index.CachedLedger) {
			indextest.EvictLeastUsed(ctx, c, ledger.Eviction{}, 0)
		},
	} {
		for outcome, fault := range map[string]error{"applied": nil, "failed but applied": lost} {
			t.Run(name+" "+outcome, func(t *testing.T) {
				t.Parallel()
				c := newCachedLedger(t, indextest.NewFaultyLedger(newCopies(), func(op string, _ cas.Digest) (bool, error) {
					if op == indextest.OpChangeCopy || op == indextest.OpSetExtractedText {
						return true, fault
					}
					return false, nil
				}), index.LedgerOptions{})
				warmLedger(t, c)
				change(t.Context(), c)
				goneCopy(t, c)
			})
		}
	}
}

// A use is no change: otherwise the copies used most would be forgotten most.
func TestCachedLedgerKeepsWhatIsUsed(t *testing.T) {
	t.Parallel()
	c := newCachedLedger(t, newCopies(), index.LedgerOptions{})
	warmLedger(t, c)
	if err := c.UseCopies(t.Context(), map[ledger.Key]time.Time{someKey: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if copy, text := hits(t, c); !copy || !text {
		t.Errorf("after a use: from memory %v and %v", copy, text)
	}
}

func TestCachedLedgerListens(t *testing.T) {
	t.Parallel()
	for name, event := range map[string]func(l index.Listener){
		"a change": func(l index.Listener) { l.CopiesChanged(some) },
		"a gap":    func(l index.Listener) { l.Gap() },
		"a loss":   func(l index.Listener) { l.State(false) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newCopies()
			c := newCachedLedger(t, r, index.LedgerOptions{CacheOptions: index.CacheOptions{Shared: true}})
			l := index.FanOut(c.Listener())
			l.Gap()
			l.State(true)
			warmLedger(t, c)
			l.BlobChanged(some) // is none of its business
			if copy, text := hits(t, c); !copy || !text {
				t.Errorf("a blob changed: from memory %v and %v", copy, text)
			}
			r.clear()
			event(l)
			goneCopy(t, c)
		})
	}
}

// A reader got its answer from the database before the copy was lost, and hands it to
// the cache after that.
func TestCachedLedgerFillAfterChange(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(ctx context.Context, c *index.CachedLedger, r *copies){
		"here": func(ctx context.Context, c *index.CachedLedger, r *copies) {
			c.Change(ctx, ledger.Lose(someKey, "1", 1, 0))
		},
		"elsewhere": func(_ context.Context, c *index.CachedLedger, r *copies) { r.clear(); c.Forget(some) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newCopies()
			read, goOn := make(chan struct{}), make(chan struct{})
			r.hold = func() { close(read); <-goOn }
			c := newCachedLedger(t, r, index.LedgerOptions{})
			answered := make(chan error)
			go func() {
				_, err := c.Copy(t.Context(), someKey)
				answered <- err
			}()
			<-read
			r.mu.Lock()
			r.hold = nil
			r.mu.Unlock()
			change(t.Context(), c, r)
			// While the old question is still open, a new one is not joined to it.
			goneCopy(t, c)
			close(goOn)
			if err := <-answered; err != nil {
				t.Errorf("a lookup that began before the change: %v", err)
			}
			goneCopy(t, c)
		})
	}
}

func TestCachedLedgerRemembersReadyCopiesOnly(t *testing.T) {
	t.Parallel()
	for _, state := range []ledger.State{
		ledger.StatePending, ledger.StateUploading, ledger.StateProcessing, ledger.StateFailed,
		ledger.StateLost, ledger.StateEvicted, ledger.StateDeleting,
	} {
		c := newCachedLedger(t, newCopies(func(row *ledger.Copy) { row.State = state }), index.LedgerOptions{})
		for range 3 {
			if copy, _ := hits(t, c); copy {
				t.Errorf("a %s copy was answered from memory", state)
			}
			c.Settle()
		}
	}
}

// Two copies of the same blob don't pass for each other.
func TestCachedLedgerTellsKeysApart(t *testing.T) {
	t.Parallel()
	c := newCachedLedger(t, newCopies(), index.LedgerOptions{})
	warmLedger(t, c)
	for _, change := range []func(k *ledger.Key){
		func(k *ledger.Key) { k.Provider = "glm" }, func(k *ledger.Key) { k.Account = "b" },
		func(k *ledger.Key) { k.Purpose = "batch" }, func(k *ledger.Key) { k.Extension = ".txt" },
		func(k *ledger.Key) { k.Provider, k.Account = "kim", "ia" },
	} {
		k := someKey
		change(&k)
		if row, err := c.Copy(t.Context(), k); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%+v: %+v, error %v", k, row, err)
		}
	}
	k := someText
	k.Extension = ".txt"
	if text, err := c.ExtractedText(t.Context(), k); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("%+v: %s, error %v", k, text, err)
	}
}

// Time is the bubble's: it passes only while everything waits.
func TestCachedLedgerTTL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		options       index.LedgerOptions
		expires       time.Duration // of the copy; 0: never
		listening     bool
		keeps, forget time.Duration
	}{
		{"by default", index.LedgerOptions{}, 0, false, 4 * time.Minute, 6 * time.Minute},
		{"a copy that expires much later", index.LedgerOptions{}, time.Hour, false, 4 * time.Minute, 6 * time.Minute},
		{"a copy that expires sooner", index.LedgerOptions{}, time.Minute, false, 59 * time.Second, 61 * time.Second},
		{"a copy near its margin", index.LedgerOptions{Margin: 40 * time.Second}, time.Minute, false, 19 * time.Second, 21 * time.Second},
		{"shared, hearing nothing", index.LedgerOptions{CacheOptions: index.CacheOptions{Shared: true}}, 0, false, 1700 * time.Millisecond, 2300 * time.Millisecond},
		{"shared and listening", index.LedgerOptions{CacheOptions: index.CacheOptions{Shared: true}}, 0, true, 4 * time.Minute, 6 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newCopies(func(row *ledger.Copy) {
					if c.expires > 0 {
						row.ExpiresAt = time.Now().Add(c.expires)
					}
				})
				cache := newCachedLedger(t, r, c.options)
				if c.listening {
					cache.Listener().State(true)
					go beat(t.Context(), cache.Listener())
				}
				warmLedger(t, cache)
				r.clear()
				<-time.After(c.keeps)
				if _, err := cache.Copy(t.Context(), someKey); err != nil {
					t.Errorf("forgotten after %v", c.keeps)
				}
				<-time.After(c.forget - c.keeps)
				cache.Settle()
				if row, err := cache.Copy(t.Context(), someKey); !errors.Is(err, ledger.ErrNotFound) {
					t.Errorf("after %v there is %+v, error %v", c.forget, row, err)
				}
			})
		})
	}
}

// A copy that expires within the margin is never remembered.
func TestCachedLedgerLeavesWhatExpires(t *testing.T) {
	t.Parallel()
	for _, left := range []time.Duration{-time.Hour, 0, 59 * time.Minute} {
		c := newCachedLedger(t, newCopies(func(row *ledger.Copy) { row.ExpiresAt = time.Now().Add(left) }), index.LedgerOptions{Margin: time.Hour})
		for range 3 {
			if copy, _ := hits(t, c); copy {
				t.Errorf("a copy that expires in %v was answered from memory", left)
			}
			c.Settle()
		}
	}
}

func TestCachedLedgerRefusesNegativeOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []index.LedgerOptions{{Margin: -1}, {CacheOptions: index.CacheOptions{Entries: -1}}} {
		if c, err := index.NewCachedLedger(newCopies(), o); err == nil {
			c.Close()
			t.Errorf("%+v: no error", o)
		}
	}
}

// Each is counted by itself: Ristretto's own buffers cost a look-up up to half an
// allocation under the race detector, where pools lose what they are given, and
// AllocsPerRun rounds that off.
func TestCachedLedgerHitAllocatesNothing(t *testing.T) {
	c := newCachedLedger(t, newCopies(), index.LedgerOptions{})
	warmLedger(t, c)
	ctx := t.Context()
	for name, hit := range map[string]func(){
		"copy": func() { c.Copy(ctx, someKey) },
		"text": func() { c.ExtractedText(ctx, someText) },
	} {
		if n := testing.AllocsPerRun(1000, hit); n > 0 {
			t.Errorf("a hit of the %s allocates %v times", name, n)
		}
	}
}

func BenchmarkCachedLedgerCopyHit(b *testing.B) {
	c := newCachedLedger(b, newCopies(), index.LedgerOptions{})
	warmLedger(b, c)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx := context.Background()
		for pb.Next() {
			if _, err := c.Copy(ctx, someKey); err != nil {
				b.Fatal(err)
			}
		}
	})
}
