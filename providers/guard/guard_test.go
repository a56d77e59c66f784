package guard_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/providers"
	"casgate/providers/guard"
)

// The order of the decorators, by their effects on each other.
func TestOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		inner := always(err503)
		g := guard.New(inner, guard.Options{
			// A token every ten seconds, and waits between attempts that are shorter.
			Limit:   guard.LimitOptions{Concurrency: 1, PerMinute: 6},
			Break:   guard.BreakOptions{Faults: 2},
			Observe: guard.ObserveOptions{Registry: registry},
		})

		start := time.Now()
		_ = call(t.Context(), g, providers.OpList)
		if inner.count() != 3 {
			t.Errorf("%d attempts, want 3", inner.count())
		}
		if took := time.Since(start); took < 19*time.Second {
			t.Errorf("three attempts took %v: the limit must hold for each of them", took)
		}
		if h := g.Health(); h.Breaker != providers.BreakerClosed {
			t.Errorf("three attempts count as more than one fault")
		}
		_ = call(t.Context(), g, providers.OpList)
		if h := g.Health(); h.Breaker != providers.BreakerOpen {
			t.Errorf("the breaker is %s after two calls failed in three attempts each", h.Breaker)
		}
		checked := g.Health().LastCheck
		time.Sleep(time.Second)
		if e := errorOf(t, call(t.Context(), g, providers.OpList)); e.Code != providers.CodeUnavailable {
			t.Error(e)
		}
		if inner.count() != 6 {
			t.Errorf("%d attempts, want 6: a call that the breaker refuses is not retried", inner.count())
		}
		if h := g.Health(); h.LastCheck != checked || h.LastError.Status != 503 {
			t.Errorf("a refusal of the breaker was taken for the provider's word: %+v", h)
		}
		got := values(t, registry)
		if n := got["calls_total{op=list,outcome=transient,provider=fake}"]; n != 3 {
			t.Errorf("%v calls were counted, want 3: refused ones too, and attempts not", n)
		}
		if n := got["retries_total{op=list,provider=fake}"]; n != 4 {
			t.Errorf("%v repetitions were counted, want 4", n)
		}
	})
}

// A call that rests between two attempts takes up no place.
func TestRestingTakesUpNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asking := fail(providers.KindTransient, 429, "")
		asking.RetryAfter = 8 * time.Second
		inner := inOrder(asking)
		g := guard.New(inner, guard.Options{Limit: guard.LimitOptions{Concurrency: 1}})
		var all sync.WaitGroup
		all.Go(func() { calls(t.Context(), t, g, providers.OpList, 1) })
		synctest.Wait()
		start := time.Now()
		calls(t.Context(), t, g, providers.OpDelete, 1)
		if took := time.Since(start); took > 0 {
			t.Errorf("a call waited %v for one that rested", took)
		}
		all.Wait()
	})
}

// A crowd, with everything going wrong at times: the limits hold, and in the end
// nothing is held or counted any more.
func TestCrowd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		var uploads, most atomic.Int64
		inner := newFake(func(ctx context.Context, op providers.Op, n int) error {
			if op == providers.OpUpload {
				now := uploads.Add(1)
				defer uploads.Add(-1)
				for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
				}
			}
			if err := pause(ctx, time.Duration(n%7)*100*time.Millisecond); err != nil {
				return err
			}
			switch {
			case n%5 == 0:
				return err503
			case n%11 == 0:
				return errUnknown
			case n%13 == 0:
				return fail(providers.KindPermanent, 400, "")
			}
			return nil
		})
		g := guard.New(able{fake: inner}, guard.Options{
			Limit:   guard.LimitOptions{Concurrency: 8},
			Observe: guard.ObserveOptions{Registry: registry, Log: zerolog.Nop()},
		})
		running, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(running) }()

		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				for j := range len(allOps) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+i%20)*time.Second)
					err := call(ctx, g, allOps[(i+j)%len(allOps)])
					cancel()
					if _, ok := errors.AsType[*providers.Error](err); err != nil && !ok {
						t.Errorf("an error that is no *providers.Error: %v", err)
					}
				}
			})
		}
		all.Wait()
		stop()
		<-ended
		if inner.running != 0 || inner.peak != 8 || most.Load() > 6 {
			t.Errorf("%d calls never ended; %d at once, want 8; %d uploads, want 6 at most", inner.running, inner.peak, most.Load())
		}
		for name, value := range values(t, registry) {
			if strings.HasPrefix(name, "calls_in_flight") && value != 0 {
				t.Errorf("%s is %v in the end", name, value)
			}
		}
		inner.answer = nil
		time.Sleep(time.Minute) // the breaker may be open
		for _, op := range allOps {
			if err := call(t.Context(), g, op); err != nil {
				t.Errorf("%s afterwards: %v", op, err)
			}
		}
	})
}

// BenchmarkGuard measures the decorators' cost around a call that takes no time.
func BenchmarkGuard(b *testing.B) {
	for name, p := range map[string]providers.Provider{
		"bare":    &idle{fake: newFake(nil)},
		"guarded": guard.New(&idle{fake: newFake(nil)}, guard.Options{Limit: guard.LimitOptions{Concurrency: 8}}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Delete(b.Context(), "f1"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// idle deletes nothing, and takes no note of it.
type idle struct{ *fake }

func (idle) Delete(context.Context, string) error { return nil }
