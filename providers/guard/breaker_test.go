package guard_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/guard"
)

// isOpen reports whether a call is refused, and makes sure that it wasn't made.
func isOpen(t *testing.T, p providers.Provider, inner *fake) bool {
	t.Helper()
	before := inner.count()
	err := call(t.Context(), p, providers.OpList)
	e, ok := errors.AsType[*providers.Error](err)
	if !ok || e.Code != providers.CodeUnavailable {
		return false
	}
	if inner.count() != before {
		t.Error("a call that was refused was made")
	}
	return true
}

// Which failures open the breaker, and which outcomes show that the provider works,
// so that the count starts again.
func TestWhatCounts(t *testing.T) {
	t.Parallel()
	const fault, answered, silent = "fault", "answered", "silent"
	caused := func(e *providers.Error, cause error) error {
		c := *e
		c.Cause = cause
		return &c
	}
	transient := func(status int, code string) *providers.Error { return fail(providers.KindTransient, status, code) }
	unknown := func(status int, code string) *providers.Error { return fail(providers.KindUnknown, status, code) }
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"500", transient(500, ""), fault},
		{"503", transient(503, ""), fault},
		{"unknown 504", unknown(504, ""), fault},
		{"nonsense with 504", unknown(504, providers.CodeBadAnswer), fault},
		{"nonsense with 200", unknown(200, providers.CodeBadAnswer), fault},
		{"nonsense without a status", unknown(0, providers.CodeBadAnswer), fault},
		{"time-out", transient(0, providers.CodeTimeout), fault},
		{"unknown, time-out", unknown(0, providers.CodeTimeout), fault},
		{"the adapter's own deadline", caused(unknown(0, providers.CodeTimeout), context.DeadlineExceeded), fault},
		{"connection", transient(0, providers.CodeConnection), fault},
		{"unknown, connection", unknown(0, providers.CodeConnection), fault},
		{"wrapped 500", fmt.Errorf("wrapped: %w", transient(500, "")), fault},
		{"success", nil, answered},
		{"429", transient(429, ""), answered},
		{"transient 400", transient(400, "missing_header"), answered},
		{"nonsense with 404", unknown(404, providers.CodeBadAnswer), answered},
		{"permanent", fail(providers.KindPermanent, 400, ""), answered},
		{"permanent 500", fail(providers.KindPermanent, 500, ""), answered},
		{"lost", fail(providers.KindLost, 404, ""), answered},
		{"lost without a status", fail(providers.KindLost, 0, ""), answered},
		{"quota", fail(providers.KindQuota, 429, ""), answered},
		{"auth", errAuth, answered},
		{"permanent, found without asking", fail(providers.KindPermanent, 0, "file_too_large"), silent},
		{"no key", fail(providers.KindAuth, 0, providers.CodeNotConfigured), silent},
		{"not sent", transient(0, guard.CodeLimited), silent},
		{"cancelled", caused(unknown(0, providers.CodeConnection), context.Canceled), silent},
		{"source", caused(transient(0, providers.CodeConnection), cas.ErrObjectCorrupt), silent},
		{"source missing", caused(unknown(0, providers.CodeConnection), fmt.Errorf("read: %w", cas.ErrObjectMissing)), silent},
		{"not classified", errors.New("what?"), silent},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, op := range []providers.Op{providers.OpUpload, providers.OpList, providers.OpPoll} {
				four := []error{err503, err503, err503, err503}

				inner := able{fake: always(test.err)}
				p := guard.Break(inner, guard.BreakOptions{})
				for range 5 {
					_ = call(t.Context(), p, op)
				}
				if got := isOpen(t, p, inner.fake); got != (test.want == fault) {
					t.Errorf("%s: after five of them it is open: %t", op, got)
				}

				inner = able{fake: inOrder(append(four, test.err, err503)...)}
				p = guard.Break(inner, guard.BreakOptions{})
				for range 6 {
					_ = call(t.Context(), p, op)
				}
				if got := isOpen(t, p, inner.fake); got != (test.want != answered) {
					t.Errorf("%s: after four faults, it, and one more it is open: %t", op, got)
				}
			}
		})
	}
}

// A provider whose deletes fail still takes uploads: the breaker stays closed, and a delete
// doesn't hide that other calls fail.
func TestFailedDeletesDoNotCount(t *testing.T) {
	t.Parallel()
	inner := always(err503)
	p := guard.Break(inner, guard.BreakOptions{})
	for range 20 {
		_ = call(t.Context(), p, providers.OpDelete)
	}
	if isOpen(t, p, inner) {
		t.Fatal("it is open after deletes alone")
	}
	for range 4 { // one list failed before
		_ = call(t.Context(), p, providers.OpDelete)
		_ = call(t.Context(), p, providers.OpList)
	}
	if !isOpen(t, p, inner) {
		t.Error("it is closed after five lists have failed")
	}
}

// The end of the caller's context says nothing about the provider.
func TestCallersContextDoesNotCount(t *testing.T) {
	t.Parallel()
	for _, deadline := range []bool{false, true} {
		t.Run(fmt.Sprintf("deadline=%t", deadline), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				inner := slow(time.Hour)
				p := guard.Break(inner, guard.BreakOptions{Faults: 1})
				ctx, cancel := context.WithCancel(t.Context())
				if deadline {
					ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
				}
				defer cancel()
				failed := make(chan error, 1)
				go func() { failed <- call(ctx, p, providers.OpUpload) }()
				synctest.Wait()
				if !deadline {
					cancel()
				}
				if e := errorOf(t, <-failed); e.Code != providers.CodeTimeout {
					t.Fatal(e)
				}
				if p.State() != providers.BreakerClosed {
					t.Errorf("the breaker is %s", p.State())
				}
			})
		})
	}
}

func TestBreakerOpensAndCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var answer error = err503
		inner := newFake(func(context.Context, providers.Op, int) error { return answer })
		p := guard.Break(inner, guard.BreakOptions{})
		for range 5 {
			if p.State() != providers.BreakerClosed || p.RetryAfter() != 0 {
				t.Fatalf("%s before five faults", p.State())
			}
			time.Sleep(time.Second)
			_ = call(t.Context(), p, providers.OpList)
		}
		since := time.Now().UTC().Format(time.RFC3339)

		// Open: the caller's error.
		time.Sleep(4 * time.Second)
		for _, op := range []providers.Op{providers.OpUpload, providers.OpDelete, providers.OpList} {
			e := errorOf(t, call(t.Context(), p, op))
			if e.Kind != providers.KindTransient || e.Code != providers.CodeUnavailable || e.Op != op || e.Provider != "fake" ||
				e.RetryAfter != 6*time.Second || e.Hint == "" || !strings.Contains(e.Message, since) || !strings.Contains(e.Message, "as told") {
				t.Errorf("%s is refused with %#v", op, e)
			}
		}
		if p.State() != providers.BreakerOpen || p.RetryAfter() != 6*time.Second || inner.count() != 5 {
			t.Errorf("%s for another %v, after %d calls", p.State(), p.RetryAfter(), inner.count())
		}

		// Half-open: a call after the given delay is let through, and fails.
		time.Sleep(p.RetryAfter())
		if p.State() != providers.BreakerHalfOpen || p.RetryAfter() != 0 {
			t.Fatalf("%s for another %v", p.State(), p.RetryAfter())
		}
		if e := errorOf(t, call(t.Context(), p, providers.OpList)); e.Status != 503 {
			t.Error(e)
		}
		if p.State() != providers.BreakerOpen || p.RetryAfter() != 10*time.Second {
			t.Fatalf("%s for another %v", p.State(), p.RetryAfter())
		}
		if e := errorOf(t, call(t.Context(), p, providers.OpList)); !strings.Contains(e.Message, since) {
			t.Errorf("it forgot since when the provider fails: %s", e.Message)
		}

		// Half-open again, and this time it goes well.
		time.Sleep(p.RetryAfter())
		answer = nil
		if err := call(t.Context(), p, providers.OpList); err != nil {
			t.Error(err)
		}
		if p.State() != providers.BreakerClosed {
			t.Errorf("%s after a success", p.State())
		}
	})
}

// While half-open a delete finds nothing out, and keeps no other call from doing so.
func TestDeletesDoNotFindOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newFake(nil)
		inner.answer = func(ctx context.Context, op providers.Op, n int) error {
			switch {
			case n == 1:
				return err503
			case op == providers.OpDelete:
				return pause(ctx, time.Minute)
			}
			return nil
		}
		p := guard.Break(inner, guard.BreakOptions{Faults: 1})
		_ = call(t.Context(), p, providers.OpList)
		time.Sleep(p.RetryAfter())
		var deletes sync.WaitGroup
		for range 2 {
			deletes.Go(func() {
				if err := call(t.Context(), p, providers.OpDelete); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if p.State() != providers.BreakerHalfOpen {
			t.Errorf("%s during the deletes", p.State())
		}
		calls(t.Context(), t, p, providers.OpUpload, 1)
		if p.State() != providers.BreakerClosed || inner.count() != 4 {
			t.Errorf("%s after %d calls", p.State(), inner.count())
		}
		deletes.Wait()
	})
}

// While half-open one call finds out, and the others are told to wait. Where it was
// cancelled the next one does.
func TestOneCallFindsOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newFake(nil)
		inner.answer = func(ctx context.Context, _ providers.Op, n int) error {
			if n == 1 {
				return err503
			}
			return pause(ctx, time.Minute)
		}
		p := guard.Break(inner, guard.BreakOptions{Faults: 1})
		_ = call(t.Context(), p, providers.OpList)
		time.Sleep(p.RetryAfter())

		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { _ = call(ctx, p, providers.OpUpload) })
		synctest.Wait()
		for range 10 {
			if e := errorOf(t, call(t.Context(), p, providers.OpList)); e.Code != providers.CodeUnavailable || e.RetryAfter <= 0 {
				t.Error(e)
			}
		}
		cancel()
		all.Wait()
		if p.State() != providers.BreakerHalfOpen {
			t.Fatalf("%s after the call was cancelled", p.State())
		}
		calls(t.Context(), t, p, providers.OpList, 1)
		if p.State() != providers.BreakerClosed || inner.count() != 3 {
			t.Errorf("%s after %d calls", p.State(), inner.count())
		}
	})
}

// A stream counts when it is closed, by how its reading ended.
func TestStreamsCountWhenTheyEnd(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		broken error
		cancel bool
		want   string
	}{
		{"well", nil, false, providers.BreakerClosed},
		{"cut", io.ErrUnexpectedEOF, false, providers.BreakerOpen},
		{"cut, and classified", fail(providers.KindUnknown, 0, providers.CodeConnection), false, providers.BreakerOpen},
		{"cut by the caller", io.ErrUnexpectedEOF, true, providers.BreakerClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := guard.Break(able{fake: newFake(nil), broken: test.broken}, guard.BreakOptions{Faults: 1})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, err := p.Text(ctx, "f1")
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, r)
			if !errors.Is(err, test.broken) {
				t.Fatal(err)
			}
			if test.cancel {
				cancel()
			}
			if p.State() != providers.BreakerClosed {
				t.Error("it counted before it was closed")
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if p.State() != test.want {
				t.Errorf("the breaker is %s, want %s", p.State(), test.want)
			}
		})
	}
}

// A panic is a mistake of ours.
func TestPanicsDoNotCount(t *testing.T) {
	t.Parallel()
	inner := able{fake: newFake(func(context.Context, providers.Op, int) error { panic("as told") })}
	p := guard.Break(inner, guard.BreakOptions{Faults: 1})
	for _, op := range allOps {
		func() {
			defer func() { _ = recover() }()
			_ = call(t.Context(), p, op)
		}()
		if p.State() != providers.BreakerClosed {
			t.Fatalf("%s after %s panicked", p.State(), op)
		}
	}
}
