package guard_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"casgate/providers"
	"casgate/providers/guard"
)

func tooMany(wait time.Duration) *providers.Error {
	e := fail(providers.KindTransient, 429, "rate_limit_reached_error")
	e.TooMany, e.RetryAfter = true, wait
	return e
}

// TestRefusedUploadsAreHeldBack: a 429 holds back the other uploads of the account, and no
// other call.
func TestRefusedUploadsAreHeldBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := inOrder(tooMany(0), nil, tooMany(3*time.Second))
		p := guard.Hold(inner, guard.HoldOptions{})
		start := time.Now()
		if err := call(t.Context(), p, providers.OpUpload); providers.KindOf(err) != providers.KindTransient {
			t.Fatalf("got %v", err)
		}
		if err := call(t.Context(), p, providers.OpDelete); err != nil || time.Since(start) > 0 {
			t.Errorf("a delete took %v: %v", time.Since(start), err)
		}
		if err := call(t.Context(), p, providers.OpUpload); !errors.Is(err, inner.answer(t.Context(), providers.OpUpload, 3)) || time.Since(start) != time.Second {
			t.Errorf("the next upload took %v: %v", time.Since(start), err)
		}
		if until := p.HeldUntil(); until.Sub(start) != 4*time.Second {
			t.Errorf("held until %v after the start, want 4 s", until.Sub(start))
		}
		if err := call(t.Context(), p, providers.OpUpload); err != nil || time.Since(start) != 4*time.Second {
			t.Errorf("the last upload took %v: %v", time.Since(start), err)
		}
		if err := call(t.Context(), p, providers.OpUpload); err != nil || time.Since(start) != 4*time.Second {
			t.Errorf("after a success: %v: %v", time.Since(start), err)
		}
		if until := p.HeldUntil(); !until.IsZero() {
			t.Errorf("after a success: held until %v", until)
		}
	})
}

// TestRefusedDeletesAreHeldBack: a refused delete holds back the other deletes of the
// account, longer each time, and no upload. A delete waits for a second at most.
func TestRefusedDeletesAreHeldBack(t *testing.T) {
	t.Parallel()
	inArrears := fail(providers.KindQuota, 429, "exceeded_current_quota_error")
	for name, refusal := range map[string]*providers.Error{"a rate limit": tooMany(0), "a quota": inArrears, "an overload": fail(providers.KindTransient, 429, "engine_overloaded_error")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				inner := newFake(func(_ context.Context, op providers.Op, _ int) error {
					if op == providers.OpDelete {
						return refusal
					}
					return nil
				})
				p := guard.New(inner, guard.Options{})
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				var all sync.WaitGroup
				for range 30 {
					all.Go(func() {
						for ctx.Err() == nil {
							began := time.Now()
							err := call(ctx, p, providers.OpDelete)
							if e := errorOf(t, err); e.Kind != providers.KindTransient && e.Kind != refusal.Kind || time.Since(began) > 5*time.Second {
								t.Errorf("after %s: %v", time.Since(began), e)
							}
							time.Sleep(100 * time.Millisecond)
						}
					})
				}
				all.Wait()
				if n := inner.count(); n > 16 { // as many at first as there are slots
					t.Errorf("%d deletes reached the provider in 30 s", n)
				}
				before := time.Now()
				if err := call(t.Context(), p, providers.OpUpload); (err != nil || time.Since(before) > 0) && !refusal.TooMany {
					t.Errorf("an upload took %v: %v", time.Since(before), err)
				}
			})
		})
	}
}

// TestHeldDelete: a delete that is held back for long fails at once, and the first delete
// after the hold ends it.
func TestHeldDelete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := inOrder(tooMany(20 * time.Second))
		p := guard.New(inner, guard.Options{})
		_ = call(t.Context(), p, providers.OpDelete) // refused
		start := time.Now()
		e := errorOf(t, call(t.Context(), p, providers.OpDelete))
		if e.Code != guard.CodeLimited || e.Op != providers.OpDelete || e.RetryAfter != 20*time.Second || time.Since(start) > 0 || inner.count() != 1 {
			t.Errorf("after %v: %+v, %d calls", time.Since(start), e, inner.count())
		}
		time.Sleep(20 * time.Second)
		calls(t.Context(), t, p, providers.OpDelete, 10)
	})
}

// TestLongHold: an upload doesn't wait for long.
func TestLongHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := inOrder(tooMany(time.Minute))
		p := guard.Hold(inner, guard.HoldOptions{})
		_ = call(t.Context(), p, providers.OpUpload) // refused
		start := time.Now()
		e := errorOf(t, call(t.Context(), p, providers.OpUpload))
		if e.Code != guard.CodeLimited || e.RetryAfter != time.Minute || e.Kind != providers.KindTransient || time.Since(start) > 0 || inner.count() != 1 {
			t.Errorf("after %v: %+v, %d calls", time.Since(start), e, inner.count())
		}
		time.Sleep(time.Minute)
		if err := call(t.Context(), p, providers.OpUpload); err != nil {
			t.Error(err)
		}
	})
}

// TestOneAtATimeAfterARefusal: of many uploads only one at a time tests whether the limit
// is over, and less often each time.
func TestOneAtATimeAfterARefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := always(tooMany(0))
		p := guard.Hold(inner, guard.HoldOptions{})
		_ = call(t.Context(), p, providers.OpUpload) // refused
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for ctx.Err() == nil {
					if e := errorOf(t, call(ctx, p, providers.OpUpload)); e.Kind != providers.KindTransient || !e.TooMany {
						t.Errorf("got %v", e)
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		all.Wait()
		if n := inner.count(); n < 4 || n > 6 { // at 0, 1, 3, 7 and 15 s
			t.Errorf("%d uploads reached the provider in 15 s", n)
		}
	})
}

// TestHeldUploadOccupiesNoSlot: an upload that is held back leaves the account's slots to
// other calls.
func TestHeldUploadOccupiesNoSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := inOrder(tooMany(3 * time.Second))
		p := guard.New(inner, guard.Options{Limit: guard.LimitOptions{Concurrency: 1}})
		_ = call(t.Context(), p, providers.OpUpload) // refused
		start := time.Now()
		var held sync.WaitGroup
		held.Go(func() {
			if err := call(t.Context(), p, providers.OpUpload); err != nil || time.Since(start) != 3*time.Second {
				t.Errorf("the upload took %v: %v", time.Since(start), err)
			}
		})
		synctest.Wait()
		for _, op := range []providers.Op{providers.OpDelete, providers.OpList} {
			if err := call(t.Context(), p, op); err != nil || time.Since(start) > 0 {
				t.Errorf("%s waited %v for the held upload: %v", op, time.Since(start), err)
			}
		}
		held.Wait()
	})
}

// TestRefusalDuringTheWaitForASlot: uploads that have passed the hold, and then wait for a
// slot, are not sent after another one was refused.
func TestRefusalDuringTheWaitForASlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newFake(func(context.Context, providers.Op, int) error {
			time.Sleep(time.Second)
			return tooMany(time.Minute)
		})
		p := guard.New(inner, guard.Options{Limit: guard.LimitOptions{Concurrency: 1}})
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if e := errorOf(t, call(t.Context(), p, providers.OpUpload)); !e.TooMany || e.Kind != providers.KindTransient {
					t.Errorf("got %v", e)
				}
			})
		}
		all.Wait()
		if n := inner.count(); n != 1 {
			t.Errorf("%d uploads reached the provider", n)
		}
	})
}
