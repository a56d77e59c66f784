package guard_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"casgate/providers"
	"casgate/providers/guard"
)

// slow makes a fake whose uploads take long, and all other calls a second.
func slow(long time.Duration) *fake {
	return newFake(func(ctx context.Context, op providers.Op, _ int) error {
		took := time.Second
		if op == providers.OpUpload {
			took = long
		}
		return pause(ctx, took)
	})
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fail(providers.KindUnknown, 0, providers.CodeTimeout)
	}
}

// calls makes n calls of a kind at once, and returns when all are over.
func calls(ctx context.Context, t *testing.T, p providers.Provider, op providers.Op, n int) {
	t.Helper()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if err := call(ctx, p, op); err != nil {
				t.Errorf("%s: %v", op, err)
			}
		})
	}
	all.Wait()
}

func TestConcurrencyLimits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		described              int
		options                guard.LimitOptions
		uploads, deletes, both int
	}{
		{0, guard.LimitOptions{}, 50, 50, 100},
		{1, guard.LimitOptions{}, 1, 1, 1},
		{2, guard.LimitOptions{}, 1, 2, 2},
		{3, guard.LimitOptions{}, 2, 3, 3},
		{4, guard.LimitOptions{}, 3, 4, 4},
		{15, guard.LimitOptions{}, 12, 15, 15},
		{15, guard.LimitOptions{Concurrency: 4}, 3, 4, 4},
		{15, guard.LimitOptions{Concurrency: -1}, 50, 50, 100},
		{15, guard.LimitOptions{Transfers: 2}, 2, 15, 15},
		{15, guard.LimitOptions{Transfers: 20}, 15, 15, 15},
		{15, guard.LimitOptions{Transfers: -1}, 15, 15, 15},
		{0, guard.LimitOptions{Transfers: 2}, 2, 50, 52},
	} {
		t.Run(fmt.Sprintf("%d %+v", test.described, test.options), func(t *testing.T) {
			t.Parallel()
			for kind, want := range map[string]int{"uploads": test.uploads, "deletes": test.deletes, "both": test.both} {
				synctest.Test(t, func(t *testing.T) {
					inner := slow(time.Second)
					inner.about.Concurrency = test.described
					p := guard.Limit(inner, test.options)
					var all sync.WaitGroup
					if kind != "deletes" {
						all.Go(func() { calls(t.Context(), t, p, providers.OpUpload, 50) })
					}
					if kind != "uploads" {
						all.Go(func() { calls(t.Context(), t, p, providers.OpDelete, 50) })
					}
					all.Wait()
					if inner.peak != want {
						t.Errorf("%s: %d at once, want %d", kind, inner.peak, want)
					}
				})
			}
		})
	}
}

// However many uploads queue, a short call waits for at most one of them; and
// uploads get their turn among many short calls.
func TestShortCallsDoNotStarve(t *testing.T) {
	t.Parallel()
	const upload = 10 * time.Minute
	for _, test := range []struct {
		name    string
		options guard.LimitOptions
		within  time.Duration
	}{
		{"several places", guard.LimitOptions{Concurrency: 4}, 2 * time.Second},
		{"one place", guard.LimitOptions{Concurrency: 1}, upload + 2*time.Second},
		// A token comes every 20 seconds.
		{"few calls a minute", guard.LimitOptions{PerMinute: 3}, 41 * time.Second},
		{"few places and calls a minute", guard.LimitOptions{Concurrency: 4, PerMinute: 3}, 81 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := guard.Limit(slow(upload), test.options)
				uploading, stop := context.WithCancel(t.Context())
				var uploads sync.WaitGroup
				for range 50 {
					uploads.Go(func() { _ = call(uploading, p, providers.OpUpload) })
				}
				synctest.Wait() // all are under way, or queue
				start := time.Now()
				calls(t.Context(), t, p, providers.OpDelete, 1)
				if took := time.Since(start); took > test.within {
					t.Errorf("a delete took %v behind uploads, want %v at most", took, test.within)
				}
				stop()
				uploads.Wait()
			})
		})
	}
}

func TestUploadsDoNotStarve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := guard.Limit(slow(time.Second), guard.LimitOptions{Concurrency: 2})
		ctx, stop := context.WithCancel(t.Context())
		var deletes sync.WaitGroup
		for range 20 { // each at it without a break
			deletes.Go(func() {
				for ctx.Err() == nil {
					_ = call(ctx, p, providers.OpDelete)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		calls(t.Context(), t, p, providers.OpUpload, 1)
		if took := time.Since(start); took > 12*time.Second {
			t.Errorf("an upload took %v behind 20 short calls", took)
		}
		stop()
		deletes.Wait()
	})
}

// Short calls are served in the order they came in.
func TestQueueIsFair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := guard.Limit(slow(time.Second), guard.LimitOptions{Concurrency: 1})
		var all sync.WaitGroup
		var mu sync.Mutex
		var order []int
		for i := range 20 {
			all.Go(func() {
				if err := call(t.Context(), p, providers.OpDelete); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
			synctest.Wait()
		}
		all.Wait()
		for i, n := range order {
			if i != n {
				t.Fatalf("the order was %v", order)
			}
		}
	})
}

// No minute has more calls than the limit, not even the first, and the limit is
// used fully.
func TestCallsPerMinute(t *testing.T) {
	t.Parallel()
	for _, perMinute := range []int{1, 2, 3, 20, 100, 5000} {
		t.Run(fmt.Sprint(perMinute), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var began []time.Time
				inner := newFake(func(context.Context, providers.Op, int) error {
					mu.Lock()
					defer mu.Unlock()
					began = append(began, time.Now())
					return nil
				})
				inner.about.PerMinute = perMinute
				p := guard.Limit(inner, guard.LimitOptions{})
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				var all sync.WaitGroup
				for range 8 {
					all.Go(func() {
						for {
							if err := call(ctx, p, providers.OpDelete); err != nil {
								return
							}
						}
					})
				}
				all.Wait()
				for i, first := range began {
					if i+perMinute < len(began) {
						// Tokens are counted in floating point.
						if apart := began[i+perMinute].Sub(first); apart < time.Minute-time.Millisecond {
							t.Fatalf("%d calls began within %v", perMinute+1, apart)
						}
					}
				}
				if enough := perMinute * 4; len(began) < enough {
					t.Errorf("%d calls in five minutes, want %d at least", len(began), enough)
				}
			})
		})
	}
}

// Waiting ends with the caller's context: nothing is sent, and nothing held.
func TestWaitingRespectsTheContext(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]guard.LimitOptions{
		"a place":          {Concurrency: 1},
		"a transfer":       {Concurrency: 4, Transfers: 1},
		"a token":          {PerMinute: 1},
		"a place or token": {Concurrency: 1, PerMinute: 1},
	} {
		for _, deadline := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s deadline=%t", name, deadline), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					inner := slow(30 * time.Second)
					p := guard.Limit(inner, options)
					var first sync.WaitGroup
					first.Go(func() { calls(t.Context(), t, p, providers.OpUpload, 1) })
					synctest.Wait()

					ctx, cancel := context.WithCancel(t.Context())
					if deadline {
						ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
					}
					defer cancel()
					failed := make(chan error, 1)
					go func() { failed <- call(ctx, p, providers.OpUpload) }()
					synctest.Wait()
					want := context.DeadlineExceeded
					if !deadline {
						want = context.Canceled
						cancel()
					}
					err := <-failed
					e := errorOf(t, err)
					if e.Kind != providers.KindTransient || e.Code != guard.CodeLimited || !errors.Is(err, want) {
						t.Errorf("got %v (%s, cause %v), want a transient one that wraps %v", e, e.Kind, e.Cause, want)
					}
					if name == "a token" && deadline && (e.RetryAfter < 40*time.Second || e.RetryAfter > time.Minute) {
						t.Errorf("the next token is %v away, says the error", e.RetryAfter)
					}
					first.Wait()
					if inner.count() != 1 {
						t.Errorf("%d calls were made, want 1", inner.count())
					}
					calls(t.Context(), t, p, providers.OpUpload, 1) // and the next gets through
				})
			})
		}
	}
}

// A caller that gives up waiting for a token leaves its place to the others.
func TestPlaceIsLeftWithoutAToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := guard.Limit(newFake(nil), guard.LimitOptions{Concurrency: 1, PerMinute: 1})
		calls(t.Context(), t, p, providers.OpUpload, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 59*time.Second)
		defer cancel()
		e := errorOf(t, call(ctx, p, providers.OpUpload))
		if e.Code != guard.CodeLimited || e.RetryAfter < 59*time.Second || e.RetryAfter > time.Minute {
			t.Errorf("%v, to be tried again after %v", e, e.RetryAfter)
		}
		start := time.Now()
		calls(t.Context(), t, p, providers.OpUpload, 1)
		if took := time.Since(start); took > time.Minute {
			t.Errorf("the next call took %v", took)
		}
	})
}

// A context that is over makes no call, limits or not.
func TestContextThatIsOver(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	inner := able{fake: newFake(nil)}
	p := guard.Limit(inner, guard.LimitOptions{})
	for _, op := range allOps {
		err := call(ctx, p, op)
		if e := errorOf(t, err); e.Kind != providers.KindTransient || !errors.Is(err, context.Canceled) || !strings.Contains(e.Message, "its context had ended") {
			t.Errorf("%s: %v", op, err)
		}
	}
	if inner.count() != 0 {
		t.Errorf("%d calls were made", inner.count())
	}
}
