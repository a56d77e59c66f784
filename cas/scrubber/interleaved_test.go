package scrubber_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/scrubber"
)

// once returns a hook that calls do at the first time of a step.
func once(step scrubber.Step, do func()) func(scrubber.Step, cas.ObjectRef) {
	done := false
	return func(s scrubber.Step, _ cas.ObjectRef) {
		if s == step && !done {
			done = true
			do()
		}
	}
}

// Whatever happens to a blob while its damaged object is checked, the verdict is about
// the object that was read.
func TestScrubMarksOnlyWhatItRead(t *testing.T) {
	setups(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			name string
			do   func(content []byte, ref cas.ObjectRef)
			want cas.State
			next bool // under the next generation
		}{
			{"deleted", func(_ []byte, ref cas.ObjectRef) { w.remove(ref.Digest) }, cas.StateCondemned, false},
			{"collected", func(_ []byte, ref cas.ObjectRef) { w.remove(ref.Digest); w.collect() }, cas.StateGone, false},
			{"rescued", func(b []byte, ref cas.ObjectRef) { w.remove(ref.Digest); w.put(b) }, cas.StateLive, false},
			{"collected and put again", func(b []byte, ref cas.ObjectRef) { w.remove(ref.Digest); w.collect(); w.put(b) }, cas.StateLive, true},
			{"found by a reader and put again", func(b []byte, ref cas.ObjectRef) {
				if err := w.index.Suspect(t.Context(), ref); err != nil {
					t.Fatal(err)
				}
				w.put(b)
			}, cas.StateLive, false},
			{"found by a reader", func(_ []byte, ref cas.ObjectRef) {
				if err := w.index.Suspect(t.Context(), ref); err != nil {
					t.Fatal(err)
				}
			}, cas.StateSuspect, false},
			{"verified by another scrub", func(b []byte, ref cas.ObjectRef) {
				w.replace(t, ref, b)
				if r, err := scrubber.New(scrubber.Options{Index: w.index, Objects: w.objects}).Verify(t.Context(), ref.Digest); err != nil || r.Outcome != scrubber.OutcomeRight {
					t.Errorf("verify: %+v, error %v", r, err)
				}
			}, cas.StateLive, false},
		} {
			for _, step := range []scrubber.Step{scrubber.StepClaimed, scrubber.StepRead, scrubber.StepMarked} {
				if step == scrubber.StepMarked && c.name == "verified by another scrub" {
					continue // it heals the blob then
				}
				for _, repairs := range []bool{false, true} {
					t.Run(c.name+"/"+string(step), func(t *testing.T) {
						w.t = t
						content := castest.RandomBytes(2000)
						ref := w.put(content)
						w.replace(t, ref, flip(middle)(content))
						s := w.scrubber(func(o *scrubber.Options) {
							if repairs {
								o.Sources = []scrubber.Source{backup(t, content)}
							}
							o.OnStep = once(step, func() { c.do(content, ref) })
						})
						if _, err := s.Verify(t.Context(), ref.Digest); err != nil {
							t.Fatal(err)
						}
						want := c.want
						if want == cas.StateSuspect && repairs {
							want = cas.StateLive
						}
						now := ref
						if c.next {
							now.Generation++
						}
						w.wantState(now, want)
						if want == cas.StateLive {
							w.wantBlob(content)
						}
						if want == cas.StateGone {
							w.wantNoObject(ref)
						}
					})
				}
			}
		}
	})
}

// wantNoObject fails the test if an object is there.
func (w *world) wantNoObject(ref cas.ObjectRef) {
	w.t.Helper()
	if object, err := w.objects.Open(w.t.Context(), ref, 0, -1); err == nil {
		object.Body.Close()
		w.t.Errorf("the object of generation %d is there", ref.Generation)
	}
}

// A repair that meets a delete leaves neither a readable blob nor an object.
func TestRepairMeetsDelete(t *testing.T) {
	setups(t, func(t *testing.T, w *world) {
		for _, putsAgain := range []bool{false, true} {
			content := castest.RandomBytes(2000)
			ref := w.put(content)
			w.replace(t, ref, nil)
			s := w.scrubber(func(o *scrubber.Options) {
				o.Sources = []scrubber.Source{backup(t, content)}
				o.OnStep = once(scrubber.StepMarked, func() {
					w.remove(ref.Digest)
					w.collect()
					if putsAgain {
						w.put(content)
					}
				})
			})
			if r, err := s.Verify(t.Context(), ref.Digest); err != nil || r.Outcome != scrubber.OutcomeDamaged || r.RepairErr == nil {
				t.Errorf("the result %+v, error %v", r, err)
			}
			w.wantNoObject(ref)
			if putsAgain {
				w.wantBlob(content)
			} else {
				w.wantState(ref, cas.StateGone)
			}
		}
	})
}

// Both outcomes of a failed write: of the object, and of the row.
func TestRepairOutlivesFailedWrites(t *testing.T) {
	setups(t, func(t *testing.T, w *world) {
		for _, applied := range []bool{false, true} {
			content := castest.RandomBytes(2000)
			ref := w.put(content)
			w.replace(t, ref, flip(middle)(content))
			w.objects.SetHook(func(op castest.Op, _ cas.ObjectRef) castest.Fault {
				if op == castest.OpPut {
					return castest.Fault{Err: cas.ErrStoreUnavailable, Applied: applied}
				}
				return castest.Fault{}
			})
			repair := func(o *scrubber.Options) { o.Sources = []scrubber.Source{backup(t, content)} }
			if run := w.scrub(repair); run.Damaged != 1 || run.Repaired != 0 {
				t.Errorf("applied %v: the scrub %+v", applied, run)
			}
			w.objects.SetHook(nil)
			w.wantState(ref, cas.StateSuspect)
			if run := w.scrub(repair); run.Repaired+run.Healed != 1 {
				t.Errorf("applied %v: the next scrub %+v", applied, run)
			}
			w.wantBlob(content)
		}
	})
}

// stoppedClock is an index whose clock stands still.
type stoppedClock struct {
	scrubber.Index
	now time.Time
}

func (c stoppedClock) Clock(context.Context) (time.Time, error) { return c.now, nil }

// Scrubs at the same time share the blobs: each object is read once.
func TestScrubsShareTheWork(t *testing.T) {
	setups(t, func(t *testing.T, w *world) {
		const blobs = 30
		w.putSome(blobs)
		reads := map[cas.Digest]int{}
		w.objects.SetHook(func(op castest.Op, ref cas.ObjectRef) castest.Fault {
			w.mu.Lock()
			defer w.mu.Unlock()
			if op == castest.OpOpen {
				reads[ref.Digest]++
			}
			return castest.Fault{}
		})
		// One scrub has the lease of commands; the others work as gateways do. They begin at the
		// same time: one that begins later verifies again what the others have.
		now, err := w.index.Clock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		together := func(o *scrubber.Options) { o.Index = stoppedClock{o.Index, now} }
		stop := w.startGateways(3, together)
		run := w.scrub(together)
		castest.Eventually(t, "all blobs are checked", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return len(reads) == blobs
		})
		stop()
		w.objects.SetHook(nil)
		for d, n := range reads {
			if n != 1 {
				t.Errorf("%s was read %d times", d.Short(), n)
			}
		}
		if checked := len(slices.DeleteFunc(w.found, func(r scrubber.Result) bool { return r.Outcome != scrubber.OutcomeRight })); checked != blobs {
			t.Errorf("%d of %d blobs were found right (%d by the command)", checked, blobs, run.Blobs)
		}
	})
}

// faultyIndex is an index whose records of checks fail.
type faultyIndex struct {
	index
	applied bool
	left    int // how many fail
}

func (x *faultyIndex) FinishChecks(ctx context.Context, claim string, checks ...scrubber.Check) ([]cas.ObjectRef, error) {
	if x.left == 0 {
		return x.index.FinishChecks(ctx, claim, checks...)
	}
	x.left--
	if x.applied {
		if _, err := x.index.FinishChecks(ctx, claim, checks...); err != nil {
			return nil, err
		}
	}
	return nil, cas.ErrIndexUnavailable
}

// Both outcomes of a failed record: the scrub ends with an error, and the resumed one
// reports and repairs the damage.
func TestScrubOutlivesFailedRecords(t *testing.T) {
	setups(t, func(t *testing.T, w *world) {
		for _, applied := range []bool{false, true} {
			for left := range 3 {
				all := w.putSome(3)
				w.replace(t, cas.ObjectRef{Digest: cas.DigestOf(all[1])}, nil)
				x := &faultyIndex{index: w.index, applied: applied, left: left + 1}
				faulty := w.scrubber(func(o *scrubber.Options) { o.Index, o.Lease = x, 50*time.Millisecond })
				if run, err := faulty.Scrub(t.Context(), scrubber.Plan{}); !errors.Is(err, cas.ErrIndexUnavailable) || run.Complete {
					t.Errorf("the scrub %+v, error %v", run, err)
				}
				run, err := w.scrubber(func(o *scrubber.Options) { o.Sources = []scrubber.Source{backup(t, all[1])} }).Resume(t.Context())
				if err != nil || run.Repaired != 1 || !run.Complete {
					t.Errorf("applied %v, %d failures: the resumed scrub %+v, error %v", applied, left+1, run, err)
				}
				w.wantAllLive(all)
				w.wantBlob(all[1])
			}
		}
	})
}

// extendedIndex is an index that tells of extensions of the lease.
type extendedIndex struct {
	index
	extended chan context.Context
}

func (x *extendedIndex) SaveScrub(ctx context.Context, run scrubber.Run, lease time.Duration) (bool, error) {
	held, err := x.index.SaveScrub(ctx, run, lease)
	select {
	case x.extended <- ctx:
	default: // the first ones are enough
	}
	return held, err
}

// The end of a scrub breaks off no extension of its lease: the index could carry it out
// later, and so give the lease to a scrub that has ended.
func TestScrubEndsAfterItsExtensions(t *testing.T) {
	setups(t, func(t *testing.T, w *world) {
		w.putSome(1)
		x := &extendedIndex{w.index, make(chan context.Context, 2)}
		began := make(chan struct{})
		var once sync.Once
		s := w.scrubber(func(o *scrubber.Options) {
			o.Index, o.Lease = x, 100*time.Millisecond
			o.OnStep = func(scrubber.Step, cas.ObjectRef) {
				once.Do(func() {
					castest.Eventually(t, "an extension of the lease", func() bool { return len(x.extended) == 2 })
					close(began)
				})
			}
		})
		if _, err := s.Scrub(t.Context(), scrubber.Plan{}); err != nil {
			t.Fatal(err)
		}
		<-began
		<-x.extended // the lease itself
		if err := (<-x.extended).Err(); err != nil {
			t.Errorf("the extension's context ended with the scrub: %v", err)
		}
	})
}
