package guard_test

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"casgate/providers"
	"casgate/providers/guard"
)

// watched runs a guard's health checks for the time of f.
func watched(t *testing.T, inner providers.Provider, o guard.Options, f func(t *testing.T, g *guard.Guard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := guard.New(inner, o)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		synctest.Wait()
		f(t, g)
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	})
}

// once has no second attempts, so that each call is one of the provider's.
var once = guard.RetryOptions{Attempts: 1}

func TestChecksWhileIdle(t *testing.T) {
	t.Parallel()
	inner := newFake(nil)
	watched(t, inner, guard.Options{}, func(t *testing.T, g *guard.Guard) {
		if h := g.Health(); inner.count() != 1 || !h.Available || h.LastCheck != time.Now() || h.Breaker != providers.BreakerClosed {
			t.Fatalf("at the start: %d checks, %+v", inner.count(), h)
		}
		time.Sleep(10 * time.Minute)
		if n := inner.count(); n < 10 || n > 12 {
			t.Errorf("%d checks in ten minutes, want about one a minute", n)
		}
		for _, op := range inner.calls {
			if op != providers.OpList {
				t.Errorf("a check made the call %s", op)
			}
		}
		// The last check may have been just now.
		if h := g.Health(); time.Since(h.LastCheck) > 66*time.Second {
			t.Errorf("last checked %v ago", time.Since(h.LastCheck))
		}
	})
}

// A check lists a purpose that can be listed, and asks for one file only.
func TestCheckTakesOneFile(t *testing.T) {
	t.Parallel()
	inner := &listing{fake: newFake(nil)}
	watched(t, inner, guard.Options{}, func(t *testing.T, _ *guard.Guard) {
		if inner.purpose != "seen" || inner.files != 1 {
			t.Errorf("the check took %d files of purpose %q", inner.files, inner.purpose)
		}
	})
}

// listing is a fake that records its list calls.
type listing struct {
	*fake
	purpose string
	files   int
}

func (l *listing) List(_ context.Context, purpose string) iter.Seq2[providers.RemoteFile, error] {
	l.purpose = purpose
	return func(yield func(providers.RemoteFile, error) bool) {
		for range 3 {
			l.files++
			if !yield(providers.RemoteFile{ID: "f"}, nil) {
				return
			}
		}
	}
}

// A call that went well makes a check needless; one that failed doesn't.
func TestTrafficCountsAsCheck(t *testing.T) {
	t.Parallel()
	inner := newFake(nil)
	watched(t, inner, guard.Options{Retry: once}, func(t *testing.T, g *guard.Guard) {
		for range 60 {
			time.Sleep(20 * time.Second)
			if err := g.Delete(t.Context(), "f1"); err != nil {
				t.Fatal(err)
			}
			if h := g.Health(); h.LastCheck != time.Now() {
				t.Fatalf("a call was not noted: %+v", h)
			}
		}
		if inner.count() != 61 {
			t.Errorf("%d calls, want one check and 60 deletes", inner.count())
		}
		inner.answer = func(_ context.Context, op providers.Op, _ int) error {
			if op == providers.OpDelete {
				return fail(providers.KindPermanent, 400, "")
			}
			return nil
		}
		for range 30 {
			time.Sleep(20 * time.Second)
			_ = g.Delete(t.Context(), "f1")
		}
		if checks := inner.count() - 61 - 30; checks < 8 {
			t.Errorf("%d checks in ten minutes of refused calls", checks)
		}
	})
}

// The gateway notices that a provider works again without a caller's request.
func TestRecoveryWithoutTraffic(t *testing.T) {
	t.Parallel()
	inner := newFake(nil)
	watched(t, inner, guard.Options{Retry: once}, func(t *testing.T, g *guard.Guard) {
		var mu sync.Mutex
		var down error = err503
		inner.answer = func(context.Context, providers.Op, int) error {
			mu.Lock()
			defer mu.Unlock()
			return down
		}
		for range 5 {
			_ = call(t.Context(), g, providers.OpList)
		}
		h := g.Health()
		if h.Available || h.Breaker != providers.BreakerOpen || h.RetryAfter != 10*time.Second || h.LastError == nil || h.LastError.Status != 503 {
			t.Fatalf("after five faults: %+v", h)
		}
		before := inner.count()
		time.Sleep(9 * time.Second)
		if inner.count() != before {
			t.Error("it was asked while the breaker was open")
		}
		time.Sleep(26 * time.Second)
		if checks := inner.count() - before; checks != 3 {
			t.Errorf("%d checks in 35 seconds, want 3", checks)
		}
		mu.Lock()
		down = nil
		mu.Unlock()
		time.Sleep(10 * time.Second)
		if h := g.Health(); !h.Available || h.Breaker != providers.BreakerClosed || h.LastError != nil || h.RetryAfter != 0 {
			t.Errorf("after it came back: %+v", h)
		}
		if err := call(t.Context(), g, providers.OpList); err != nil {
			t.Error(err)
		}
	})
}

// Where another call is finding out, the check comes back now and then, and doesn't
// spin.
func TestCheckBesideAnotherCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		inner := newFake(func(ctx context.Context, op providers.Op, n int) error {
			if n == 1 {
				return err503
			}
			return pause(ctx, 10*time.Second)
		})
		g := guard.New(inner, guard.Options{
			Retry: once, Break: guard.BreakOptions{Faults: 1}, Observe: guard.ObserveOptions{Registry: registry},
		})
		_ = call(t.Context(), g, providers.OpUpload)
		time.Sleep(10 * time.Second)
		var upload sync.WaitGroup
		upload.Go(func() { calls(t.Context(), t, g, providers.OpUpload, 1) })
		synctest.Wait()

		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		time.Sleep(9500 * time.Millisecond)
		if h := g.Health(); h.Breaker != providers.BreakerHalfOpen || !h.Available {
			t.Errorf("while one call is finding out: %+v", h)
		}
		if n := values(t, registry)["calls_total{op=list,outcome=transient,provider=fake}"]; n != 10 {
			t.Errorf("%v checks were refused, want one a second", n)
		}
		upload.Wait()
		if h := g.Health(); h.Breaker != providers.BreakerClosed || inner.count() != 2 {
			t.Errorf("after %d calls: %+v", inner.count(), h)
		}
		stop()
		<-ended
	})
}

// A check that hangs is the provider's fault, though it is our own deadline that
// ends it.
func TestCheckThatHangs(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"classified": fail(providers.KindTransient, 0, providers.CodeTimeout),
		"as it is":   context.DeadlineExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner := newFake(func(ctx context.Context, _ providers.Op, _ int) error {
				<-ctx.Done()
				return err
			})
			watched(t, inner, guard.Options{Retry: once, Break: guard.BreakOptions{Faults: 1}}, func(t *testing.T, g *guard.Guard) {
				time.Sleep(31 * time.Second)
				if h := g.Health(); h.Available || h.LastError == nil || h.LastCheck.IsZero() {
					t.Errorf("after a check that hung: %+v", h)
				}
				if e := errorOf(t, g.Delete(t.Context(), "f1")); e.Code != providers.CodeUnavailable {
					t.Error(e)
				}
			})
		})
	}
}

// A check that didn't come to its turn says nothing of the provider.
func TestCheckThatWaits(t *testing.T) {
	t.Parallel()
	inner := slow(10 * time.Minute)
	watched(t, inner, guard.Options{
		Retry: once, Break: guard.BreakOptions{Faults: 1}, Limit: guard.LimitOptions{Concurrency: 1},
	}, func(t *testing.T, g *guard.Guard) {
		time.Sleep(2 * time.Second) // the first check is over
		calls(t.Context(), t, g, providers.OpUpload, 1)
		if h := g.Health(); !h.Available || h.LastError != nil || h.Breaker != providers.BreakerClosed {
			t.Errorf("after checks that waited in vain: %+v", h)
		}
	})
}

// A credential that isn't taken makes the provider unavailable until a call goes
// well; calls are let through nevertheless.
func TestCredentialRefused(t *testing.T) {
	t.Parallel()
	inner := newFake(nil)
	var mu sync.Mutex
	var answer error = errAuth
	inner.answer = func(context.Context, providers.Op, int) error {
		mu.Lock()
		defer mu.Unlock()
		return answer
	}
	set := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		answer = err
	}
	watched(t, inner, guard.Options{Retry: once}, func(t *testing.T, g *guard.Guard) {
		h := g.Health()
		if h.Available || h.LastError == nil || h.LastError.Kind != providers.KindAuth || h.Breaker != providers.BreakerClosed {
			t.Fatalf("after a check was refused: %+v", h)
		}
		set(fail(providers.KindLost, 404, ""))
		_ = g.Delete(t.Context(), "f1")
		if h := g.Health(); h.Available || h.LastError == nil {
			t.Errorf("after a call that didn't go well: %+v", h)
		}
		set(nil)
		if err := g.Delete(t.Context(), "f1"); err != nil {
			t.Fatal(err)
		}
		if h := g.Health(); !h.Available || h.LastError != nil {
			t.Errorf("after a call that went well: %+v", h)
		}
		// A credential that may not do one thing is still good for others.
		set(fail(providers.KindAuth, 403, ""))
		_ = g.Delete(t.Context(), "f1")
		if h := g.Health(); !h.Available {
			t.Errorf("after a delete was forbidden: %+v", h)
		}
		time.Sleep(67 * time.Second)
		if h := g.Health(); h.Available {
			t.Errorf("after a list was forbidden: %+v", h)
		}
	})
}

// LastError is the provider's own fault, and goes when a call goes through.
func TestLastError(t *testing.T) {
	t.Parallel()
	inner := able{fake: inOrder(errUnknown, fail(providers.KindLost, 404, ""), errUnknown, context.Canceled, nil)}
	g := guard.New(inner, guard.Options{})
	if h := g.Health(); !h.LastCheck.IsZero() || !h.Available || h.LastError != nil {
		t.Errorf("at the start: %+v", h)
	}
	for i, wantError := range []bool{true, false, true, true, false} {
		_ = g.Delete(t.Context(), "f1")
		if h := g.Health(); (h.LastError != nil) != wantError {
			t.Errorf("after call %d: %+v", i+1, h)
		}
	}
}
