package guard_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/guard"
)

func TestWhatIsMadeAgain(t *testing.T) {
	t.Parallel()
	caused := func(e *providers.Error, cause error) *providers.Error {
		c := *e
		c.Cause = cause
		return &c
	}
	transient := func(status int, code string) *providers.Error { return fail(providers.KindTransient, status, code) }
	refused := transient(0, providers.CodeConnection)
	for _, test := range []struct {
		name  string
		err   error
		again bool // all calls but uploads are made again
	}{
		{"429", transient(429, "rate_limit_reached_error"), true},
		{"429 overloaded", transient(429, "engine_overloaded_error"), true},
		{"503", transient(503, ""), true},
		{"no connection", refused, true},
		{"500", transient(500, ""), true},
		{"502", transient(502, ""), true},
		{"504", transient(504, ""), true},
		{"transient 400", transient(400, "missing_header"), true},
		{"time-out", transient(0, providers.CodeTimeout), true},
		{"transient of no code", transient(0, ""), true},
		{"not sent", transient(0, guard.CodeLimited), false},
		{"unavailable", transient(0, providers.CodeUnavailable), false},
		{"wrapped 503", fmt.Errorf("wrapped: %w", transient(503, "")), true},
		{"unknown", fail(providers.KindUnknown, 503, ""), false},
		{"unknown, connection", fail(providers.KindUnknown, 0, providers.CodeConnection), false},
		{"quota", fail(providers.KindQuota, 429, ""), false},
		{"permanent", fail(providers.KindPermanent, 400, ""), false},
		{"permanent 503", fail(providers.KindPermanent, 503, ""), false},
		{"auth", errAuth, false},
		{"lost", fail(providers.KindLost, 404, ""), false},
		{"not classified", errors.New("what?"), false},
		{"corrupt object", caused(refused, fmt.Errorf("read: %w", cas.ErrObjectCorrupt)), false},
		{"object missing", caused(refused, cas.ErrObjectMissing), false},
		{"digest mismatch", caused(refused, cas.ErrDigestMismatch), false},
		{"blob not found", caused(refused, cas.ErrBlobNotFound), false},
		{"store unavailable", caused(refused, cas.ErrStoreUnavailable), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, op := range allOps {
				want := 1
				if op != providers.OpUpload && test.again {
					want = 3
				}
				synctest.Test(t, func(t *testing.T) {
					inner := able{fake: always(test.err)}
					if err := call(t.Context(), guard.Retry(inner, guard.RetryOptions{}), op); !errors.Is(err, test.err) {
						t.Errorf("%s: %v, want %v", op, err, test.err)
					}
					if inner.count() != want {
						t.Errorf("%s: %d attempts, want %d", op, inner.count(), want)
					}
				})
			}
		})
	}
}

func TestSecondAttemptSucceeds(t *testing.T) {
	t.Parallel()
	for _, op := range allOps {
		if op == providers.OpUpload {
			continue // never made again
		}
		synctest.Test(t, func(t *testing.T) {
			inner := able{fake: inOrder(err503)}
			if err := call(t.Context(), guard.Retry(inner, guard.RetryOptions{}), op); err != nil {
				t.Errorf("%s: %v", op, err)
			}
			if inner.count() != 2 {
				t.Errorf("%s: %d attempts, want 2", op, inner.count())
			}
		})
	}
}

// An upload is sent once: the replicator repeats it.
func TestUploadIsSentOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opened, read, closed := 0, 0, 0
		u := contains("hello")
		u.Open = func(context.Context) (io.ReadCloser, error) {
			opened++
			return counted{strings.NewReader("hello"), &read, &closed}, nil
		}
		refused := fail(providers.KindTransient, 429, "")
		if _, err := guard.Retry(inOrder(refused), guard.RetryOptions{}).Upload(t.Context(), u); !errors.Is(err, refused) {
			t.Fatal(err)
		}
		if opened != 1 || read != 5 || closed != 1 {
			t.Errorf("opened %d times, read %d bytes, closed %d times; want 1, 5, 1", opened, read, closed)
		}
	})
}

type counted struct {
	r            io.Reader
	read, closed *int
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	*c.read += n
	return n, err
}

func (c counted) Close() error { *c.closed++; return nil }

// A list is not begun again once a file was handed out.
func TestListIsNotBegunAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newFake(nil)
		inner.mid = err503
		files := 0
		var last error
		for _, err := range guard.Retry(inner, guard.RetryOptions{}).List(t.Context(), "") {
			if err != nil {
				last = err
				continue
			}
			files++
		}
		if files != 3 || !errors.Is(last, err503) || inner.count() != 1 {
			t.Errorf("%d files, then %v, in %d attempts", files, last, inner.count())
		}
	})
}

// The waits grow, vary, and never exceed the longest.
func TestWaits(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			var at []time.Time
			inner := newFake(func(context.Context, providers.Op, int) error {
				at = append(at, time.Now())
				return err503
			})
			p := guard.Retry(inner, guard.RetryOptions{Attempts: 5, FirstWait: time.Second, MaxWait: 3 * time.Second})
			_ = call(t.Context(), p, providers.OpDelete)
			if len(at) != 5 {
				t.Fatalf("%d attempts, want 5", len(at))
			}
			for i, mean := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
				wait := at[i+1].Sub(at[i])
				seen[wait] = true
				if wait < mean/2 || wait > min(mean*3/2, 3*time.Second) {
					t.Errorf("wait %d was %v, want about %v", i+1, wait, mean)
				}
			}
		})
	}
	if len(seen) < 20 {
		t.Errorf("only %d different waits", len(seen))
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	asking := func(wait time.Duration) *providers.Error {
		e := fail(providers.KindTransient, 429, "")
		e.RetryAfter = wait
		return e
	}
	for _, test := range []struct {
		name     string
		err      *providers.Error
		left     time.Duration // in the context; 0: no end
		attempts int
		wait     time.Duration // at least, in all
	}{
		{"honoured", asking(4 * time.Second), 0, 3, 8 * time.Second},
		{"the longest", asking(10 * time.Second), 0, 3, 20 * time.Second},
		{"too long", asking(11 * time.Second), 0, 1, 0},
		{"longer than is left", asking(4 * time.Second), 3 * time.Second, 1, 0},
		{"longer than is left, the second time", asking(4 * time.Second), 7 * time.Second, 2, 4 * time.Second},
		{"nothing asked, and less left than a wait", err503, 100 * time.Millisecond, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if test.left > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.left)
					defer cancel()
				}
				inner := always(test.err)
				start := time.Now()
				err := call(ctx, guard.Retry(inner, guard.RetryOptions{}), providers.OpDelete)
				took := time.Since(start)
				if e := errorOf(t, err); e.RetryAfter != test.err.RetryAfter {
					t.Errorf("the caller is told to wait %v", e.RetryAfter)
				}
				if inner.count() != test.attempts || took < test.wait || took > test.wait*9/8+time.Microsecond {
					t.Errorf("%d attempts in %v, want %d in %v or slightly more", inner.count(), took, test.attempts, test.wait)
				}
			})
		})
	}
}

// A caller that leaves during a wait gets the last error, which says that the caller
// left.
func TestLeavingDuringAWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		root := errors.New("root")
		told := fail(providers.KindTransient, 503, "")
		told.Cause = root
		inner := always(told)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() { failed <- call(ctx, guard.Retry(inner, guard.RetryOptions{}), providers.OpDelete) }()
		synctest.Wait()
		cancel()
		err := <-failed
		if e := errorOf(t, err); e.Status != 503 || !errors.Is(err, context.Canceled) || !errors.Is(err, root) {
			t.Errorf("got %v, cause %v", e, e.Cause)
		}
		if told.Cause != root {
			t.Error("the provider's own error was changed")
		}
		if inner.count() != 1 {
			t.Errorf("%d attempts, want 1", inner.count())
		}
	})
}
