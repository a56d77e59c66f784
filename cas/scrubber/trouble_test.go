package scrubber_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/scrubber"
)

// startGateways starts scrubbers in the background, which find everything due, and
// returns a function that ends them.
func (w *world) startGateways(n int, change func(o *scrubber.Options)) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	for range n {
		s := w.scrubber(func(o *scrubber.Options) {
			o.Every, o.Interval = time.Microsecond, time.Hour
			change(o)
		})
		running.Go(func() {
			if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
				w.t.Errorf("Run ended with %v", err)
			}
		})
	}
	return func() { cancel(); running.Wait() }
}

// wantAllLive fails the test unless all blobs are live.
func (w *world) wantAllLive(all [][]byte) {
	w.t.Helper()
	for _, b := range all {
		row, err := w.index.Touch(w.t.Context(), cas.DigestOf(b))
		if err != nil || row.State != cas.StateLive {
			w.t.Fatalf("a blob is %s, error %v", row.State, err)
		}
	}
}

// An outage is no damage: the scrub stops, marks nothing, and is resumed later.
func TestOutageStopsTheScrub(t *testing.T) {
	setups(t, func(t *testing.T, w *world) {
		all := w.putSome(12)
		opened := 0
		outage := func(op castest.Op, ref cas.ObjectRef) castest.Fault {
			w.mu.Lock()
			defer w.mu.Unlock()
			if op == castest.OpOpen {
				opened++
			}
			if op != castest.OpCheck && opened > 4 {
				return castest.Fault{Err: fmt.Errorf("%w: it is away", cas.ErrStoreUnavailable)}
			}
			return castest.Fault{}
		}
		for _, plan := range []scrubber.Plan{{}, {Quick: true}} {
			opened = 0
			if plan.Quick {
				opened = 100
			}
			w.objects.SetHook(outage)
			run, err := w.scrubber(nil).Scrub(t.Context(), plan)
			w.objects.SetHook(nil)
			if !errors.Is(err, cas.ErrStoreUnavailable) || run.Complete || run.Damaged != 0 || run.Error == "" {
				t.Errorf("%+v: the scrub %+v, error %v", plan, run, err)
			}
			w.wantAllLive(all)
			if run, err = w.scrubber(nil).Resume(t.Context()); err != nil || !run.Complete || run.Quick != plan.Quick || run.Blobs != 12 || run.Unread != 0 {
				t.Errorf("%+v: the resumed scrub %+v, error %v", plan, run, err)
			}
			if _, err := w.scrubber(nil).Resume(t.Context()); !errors.Is(err, scrubber.ErrNothingToResume) {
				t.Errorf("a complete scrub is resumed: error %v", err)
			}
		}
	})
}

// A store that does not answer to Check stops the scrub at the first failed read.
func TestFailedCheckStopsTheScrub(t *testing.T) {
	w := embedded(t)
	all := w.putSome(3)
	w.objects.SetHook(func(op castest.Op, _ cas.ObjectRef) castest.Fault {
		return castest.Fault{Err: cas.ErrStoreUnavailable}
	})
	run, err := w.scrubber(nil).Scrub(t.Context(), scrubber.Plan{})
	if !errors.Is(err, cas.ErrStoreUnavailable) || run.Unread != 1 {
		t.Errorf("the scrub %+v, error %v", run, err)
	}
	w.objects.SetHook(nil)
	w.wantAllLive(all)
}

// One object that can't be read is no damage, and no outage.
func TestUnreadObjectIsNoDamage(t *testing.T) {
	setups(t, func(t *testing.T, w *world) {
		all := w.putSome(8)
		d := cas.DigestOf(all[3])
		w.objects.SetHook(func(op castest.Op, ref cas.ObjectRef) castest.Fault {
			if op == castest.OpOpen && ref.Digest == d {
				return castest.Fault{Err: fmt.Errorf("%w: too late", cas.ErrStoreUnavailable)}
			}
			return castest.Fault{}
		})
		run := w.scrub(nil)
		if run.Blobs != 7 || run.Unread != 1 || run.Damaged != 0 {
			t.Errorf("the scrub %+v", run)
		}
		if r, err := w.scrubber(nil).Verify(t.Context(), d); err != nil || r.Outcome != scrubber.OutcomeUnread {
			t.Errorf("verify found %+v, error %v", r, err)
		}
		w.wantAllLive(all)
	})
}

// bodies wraps the bodies of an object store.
type bodies struct {
	cas.ObjectStore
	wrap func(n int, body io.ReadCloser) io.ReadCloser // n counts the reads
	mu   sync.Mutex
	n    int
}

func (b *bodies) Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	o, err := b.ObjectStore.Open(ctx, ref, offset, length)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	if err == nil {
		o.Body = b.wrap(b.n, o.Body)
	}
	return o, err
}

type body struct {
	io.Reader
	io.Closer
}

// blocked blocks until its context ends.
type blocked struct{ done <-chan struct{} }

func (b blocked) Read([]byte) (int, error) { <-b.done; return 0, io.ErrUnexpectedEOF }

// What the way from the store does to a read is no damage, unless it happens twice.
func TestFaultsOnTheWay(t *testing.T) {
	w := embedded(t)
	content := castest.RandomBytes(100_000)
	ref := w.put(content)
	end, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, c := range []struct {
		name string
		wrap func(n int, b io.ReadCloser) io.ReadCloser
		want scrubber.Outcome
	}{
		{"broken off", func(_ int, b io.ReadCloser) io.ReadCloser {
			return body{io.MultiReader(io.LimitReader(b, 500), failing{fmt.Errorf("%w: %w", cas.ErrStoreUnavailable, io.ErrUnexpectedEOF)}), b}
		}, scrubber.OutcomeUnread},
		{"short once", func(n int, b io.ReadCloser) io.ReadCloser {
			if n == 1 {
				return body{io.LimitReader(b, 500), b}
			}
			return b
		}, scrubber.OutcomeRight},
		{"flipped once", func(n int, b io.ReadCloser) io.ReadCloser {
			if n == 1 {
				return body{bytes.NewReader(flip(middle)(content)), b}
			}
			return b
		}, scrubber.OutcomeRight},
		{"flipped, then broken off", func(n int, b io.ReadCloser) io.ReadCloser {
			if n == 1 {
				return body{bytes.NewReader(flip(middle)(content)), b}
			}
			return body{failing{cas.ErrStoreUnavailable}, b}
		}, scrubber.OutcomeUnread},
		{"flipped always", func(_ int, b io.ReadCloser) io.ReadCloser { return body{bytes.NewReader(flip(middle)(content)), b} }, scrubber.OutcomeDamaged},
		{"stalled", func(_ int, b io.ReadCloser) io.ReadCloser {
			return body{io.MultiReader(io.LimitReader(b, 500), blocked{end.Done()}), b}
		}, scrubber.OutcomeUnread},
	} {
		s := w.scrubber(func(o *scrubber.Options) {
			o.Objects = &bodies{ObjectStore: w.objects, wrap: c.wrap}
			if c.name == "stalled" {
				o.Stall = time.Millisecond
				time.AfterFunc(20*time.Millisecond, cancel) // a store's client returns after its context's end
			}
		})
		r, err := s.Verify(t.Context(), ref.Digest)
		if err != nil || r.Outcome != c.want {
			t.Errorf("%s: %+v, error %v; want %s", c.name, r, err, c.want)
		}
		want := cas.StateLive
		if c.want == scrubber.OutcomeDamaged {
			want = cas.StateSuspect
		}
		w.wantState(ref, want)
		w.put(content)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// If most objects are missing at once, the store is the wrong one: nothing is marked.
func TestBrakeStopsTheScrub(t *testing.T) {
	setups(t, func(t *testing.T, w *world) {
		all := w.putSome(24)
		for _, b := range all[:14] {
			w.replace(t, cas.ObjectRef{Digest: cas.DigestOf(b)}, nil)
		}
		for _, plan := range []scrubber.Plan{{}, {Quick: true}} {
			run, err := w.scrubber(func(o *scrubber.Options) { o.Brake.MaxShare = 0.5 }).Scrub(t.Context(), plan)
			brake, stopped := errors.AsType[*scrubber.BrakeError](err)
			if !stopped || brake.Damaged != 14 || brake.Checked != 24 || run.Damaged != 0 || run.Complete {
				t.Errorf("%+v: the scrub %+v, error %v", plan, run, err)
			}
			w.wantAllLive(all)
		}
		run, err := w.scrubber(func(o *scrubber.Options) { o.Brake.MaxShare = 0.9 }).Scrub(t.Context(), scrubber.Plan{})
		if err != nil || run.Damaged != 14 {
			t.Errorf("below the limit: the scrub %+v, error %v", run, err)
		}
		// What was suspect before does not count.
		if run, err := w.scrubber(func(o *scrubber.Options) { o.Brake.MaxShare = 0.5 }).Scrub(t.Context(), scrubber.Plan{}); err != nil || run.Damaged != 14 {
			t.Errorf("suspect blobs: the scrub %+v, error %v", run, err)
		}
	})
}

// A store that isn't the index's marks nothing, however little is missing.
func TestWrongStoreMarksNothing(t *testing.T) {
	w := embedded(t)
	all := w.putSome(3)
	w.replace(t, cas.ObjectRef{Digest: cas.DigestOf(all[0])}, nil)
	wrong := errors.New("it is another index's")
	run, err := w.scrubber(func(o *scrubber.Options) { o.CheckStore = func(context.Context) error { return wrong } }).Scrub(t.Context(), scrubber.Plan{})
	if !errors.Is(err, wrong) || run.Damaged != 0 {
		t.Errorf("the scrub %+v, error %v", run, err)
	}
	w.wantAllLive(all)
}

// A scrub that ends in the middle is resumed: what it found right is not read again.
func TestInterruptedScrubResumes(t *testing.T) {
	setups(t, func(t *testing.T, w *world) {
		all := w.putSome(10)
		w.replace(t, cas.ObjectRef{Digest: cas.DigestOf(all[9])}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		opened := 0
		w.objects.SetHook(func(op castest.Op, _ cas.ObjectRef) castest.Fault {
			w.mu.Lock()
			defer w.mu.Unlock()
			if op == castest.OpOpen {
				opened++
			}
			return castest.Fault{}
		})
		read := 0
		s := w.scrubber(func(o *scrubber.Options) {
			o.OnStep = func(step scrubber.Step, _ cas.ObjectRef) {
				if step == scrubber.StepRead {
					if read++; read == 5 {
						cancel()
					}
				}
			}
		})
		run, err := s.Scrub(ctx, scrubber.Plan{})
		if !errors.Is(err, context.Canceled) || run.Complete {
			t.Fatalf("the scrub %+v, error %v", run, err)
		}
		if _, running, err := w.index.LastScrub(t.Context()); err != nil || running {
			t.Errorf("the interrupted scrub has the lease: %v, error %v", running, err)
		}
		run, err = w.scrubber(nil).Resume(t.Context())
		if err != nil || !run.Complete || run.Damaged != 1 || run.Blobs != 10 {
			t.Errorf("the resumed scrub %+v, error %v", run, err)
		}
		// A missing object is looked at twice, both times if the interruption came before its
		// batch was marked, and the interruption may cost one more read.
		if opened > 14 {
			t.Errorf("%d reads of 10 objects", opened)
		}
	})
}

// The plan leaves out blobs that were verified recently, and checks a share of them.
func TestPlans(t *testing.T) {
	w := embedded(t)
	w.putSome(60)
	for _, c := range []struct {
		plan        scrubber.Plan
		least, most int64
	}{
		{scrubber.Plan{OlderThan: time.Hour}, 0, 0},
		{scrubber.Plan{Sample: 0.3}, 3, 42},
		{scrubber.Plan{Sample: 0.3, Quick: true}, 3, 42},
		{scrubber.Plan{}, 60, 60},
	} {
		run, err := w.scrubber(nil).Scrub(t.Context(), c.plan)
		if err != nil || run.Blobs < c.least || run.Blobs > c.most {
			t.Errorf("%+v: %d blobs were checked, error %v", c.plan, run.Blobs, err)
		}
	}
}
