package collector_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/collector"
	"casgate/providers"
	"casgate/providers/ledger"
)

// sizes are those of a blob that is spooled, and of one that is streamed.
var sizes = []int{3000, cas.SpoolMemory + 1}

func TestCollectRemovesDeletedBlobs(t *testing.T) {
	t.Parallel()
	setups(t, func(t *testing.T, w *world) {
		var kept [][]byte
		var gone []cas.Digest
		for i := range 8 {
			b := castest.RandomBytes(1000 + i)
			d := w.put(b)
			if i%2 == 0 {
				kept = append(kept, b)
				continue
			}
			w.remove(d)
			gone = append(gone, d)
		}
		var results, updates atomic.Int64
		run, err := w.collector(func(o *collector.Options) {
			o.Lease = time.Minute
			o.Notify = func(r collector.Result) {
				if r.Err == nil && r.Size > 0 {
					results.Add(1)
				}
			}
			o.Progress = func(collector.Run) { updates.Add(1) }
		}).Collect(t.Context())
		if err != nil || run.Blobs != 4 || run.Due != 4 || run.Failed != 0 || run.Bytes != 4*1000+1+3+5+7 || run.EndedAt.IsZero() {
			t.Errorf("the collection is %+v, error %v", run, err)
		}
		if results.Load() != 4 || updates.Load() != 1 {
			t.Errorf("%d results and %d updates were reported", results.Load(), updates.Load())
		}
		if last, running, err := w.index.LastRun(t.Context()); err != nil || running || last.ID != run.ID || last.Blobs != 4 {
			t.Errorf("the last run is %+v, running %v, error %v", last, running, err)
		}
		for _, d := range gone {
			w.wantNoBlob(d)
			w.wantObjects(d)
		}
		for _, b := range kept {
			w.wantObjects(w.wantBlob(b).Digest, 0)
		}
		again := castest.RandomBytes(10)
		w.put(again)
		if run, err := w.collector(nil).Collect(t.Context()); err != nil || run.Due != 0 {
			t.Errorf("the next collection is %+v, error %v", run, err)
		}
		w.wantBlob(again)
	})
}

func TestCollectLeavesTheGrace(t *testing.T) {
	t.Parallel()
	w := embedded(t)
	b := castest.RandomBytes(100)
	w.remove(w.put(b))
	run, err := w.collector(func(o *collector.Options) { o.Grace = time.Hour }).Collect(t.Context())
	if err != nil || run.Due != 0 {
		t.Errorf("the collection is %+v, error %v", run, err)
	}
	w.put(b) // rescued
	w.collect()
	w.wantObjects(w.wantBlob(b).Digest, 0)
}

// A put between any two steps of the collector wins, and leaves no object behind that no
// row knows.
func TestAPutBetweenAnyTwoStepsWins(t *testing.T) {
	t.Parallel()
	for _, step := range []collector.Step{collector.StepStarted, collector.StepReleased, collector.StepDeleted, collector.StepFinished} {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s, %d bytes", step, size), func(t *testing.T) {
				t.Parallel()
				setups(t, func(t *testing.T, w *world) {
					putAtStep(t, w, step, size, nil)
					putAtStep(t, w, step, size, w.batches)
				})
			})
		}
	}
}

// putAtStep puts a blob again at a step of its collection. With batches its object is removed
// together with another one.
func putAtStep(t *testing.T, w *world, step collector.Step, size int, batches collector.BatchObjects) {
	b := castest.RandomBytes(size)
	d := w.put(b)
	w.remove(d)
	other := w.put(castest.RandomBytes(100))
	w.remove(other)
	puts := 0
	run, err := w.collector(func(o *collector.Options) {
		o.Lease, o.Batches = time.Minute, batches
		o.OnStep = func(s collector.Step, ref cas.ObjectRef) {
			if s == step && ref.Digest == d {
				puts++
				w.put(b)
			}
		}
	}).Collect(t.Context())
	if err != nil || run.Failed != 0 || run.Blobs != 2 || puts != 1 {
		t.Fatalf("the collection is %+v, with %d puts, error %v", run, puts, err)
	}
	w.collect()
	w.wantObjects(w.wantBlob(b).Digest, 1)
	w.wantObjects(other)
}

// A collection that runs while an upload writes its object: the upload has looked at
// the row before, and commits after.
func TestACollectionDuringAnUpload(t *testing.T) {
	t.Parallel()
	for _, size := range sizes {
		for _, early := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d bytes, before the object is written: %v", size, early), func(t *testing.T) {
				t.Parallel()
				setups(t, func(t *testing.T, w *world) {
					b := castest.RandomBytes(size)
					d := w.put(b)
					w.remove(d)
					met := false
					meet := func() {
						if !met {
							met = true
							w.collect()
						}
					}
					body := &lateReader{Reader: bytes.NewReader(b), atEnd: meet}
					if early {
						w.objects.SetHook(func(op castest.Op, _ cas.ObjectRef) castest.Fault {
							if op == castest.OpPut {
								meet()
							}
							return castest.Fault{}
						})
						body.atEnd = func() {}
					}
					_, _, err := w.store.Put(t.Context(), cas.Upload{Body: body, Size: int64(size), Digest: &d})
					w.objects.SetHook(nil)
					if !met {
						t.Fatal("the upload did not meet the collection")
					}
					if err != nil {
						t.Errorf("the upload ended with %v", err)
					}
					w.wantObjects(w.wantBlob(b).Digest, 1)
				})
			})
		}
	}
}

// lateReader calls a function before it reports its end.
type lateReader struct {
	*bytes.Reader
	atEnd func()
}

func (r *lateReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.Reader.Len() == 0 {
		r.atEnd()
	}
	return n, err
}

// Every write of a collection fails once, not applied and applied. The next collection
// completes the work, and a blob that was put again is never harmed.
func TestBothOutcomesOfEveryWrite(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"start", "finish", "save", "condemn", "delete", "copies"} {
		for _, applied := range []bool{false, true} {
			for nth := 1; nth <= 2; nth++ {
				t.Run(fmt.Sprintf("%s %d, applied %v", op, nth, applied), func(t *testing.T) {
					t.Parallel()
					setups(t, func(t *testing.T, w *world) { failOnce(t, w, op, nth, applied) })
				})
			}
		}
	}
}

func failOnce(t *testing.T, w *world, op string, nth int, applied bool) {
	var gone []cas.Digest
	var renewed [][]byte
	for i := range 4 {
		b := castest.RandomBytes(100)
		d := w.put(b)
		if i == 0 {
			w.giveCopy(d)
			w.giveText(d)
		}
		w.remove(d)
		if i == 3 {
			renewed = append(renewed, b)
		} else {
			gone = append(gone, d)
		}
	}
	var mu sync.Mutex
	calls := 0
	failing := func(called string) bool {
		mu.Lock()
		defer mu.Unlock()
		if called != op {
			return false
		}
		calls++
		return calls == nth
	}
	w.index.fail = func(called string) (bool, bool) { return failing(called), applied }
	w.objects.SetHook(func(called castest.Op, _ cas.ObjectRef) castest.Fault {
		if called == castest.OpDelete && failing("delete") {
			return castest.Fault{Err: cas.ErrStoreUnavailable, Applied: applied}
		}
		return castest.Fault{}
	})
	w.copies.hook = func(cas.Digest) error {
		if failing("copies") {
			return cas.ErrIndexUnavailable
		}
		return nil
	}
	first := w.collector(func(o *collector.Options) { o.Concurrency = 1; o.Lease = time.Second })
	run, err := first.Collect(t.Context())
	if calls >= nth && err == nil && run.Failed == 0 {
		t.Errorf("a failed %s was not reported: %+v", op, run)
	}
	if err != nil && !errors.Is(err, cas.ErrIndexUnavailable) {
		t.Errorf("the collection ended with %v", err)
	}
	w.index.fail, w.copies.hook = nil, nil
	w.objects.SetHook(nil)
	for _, b := range renewed {
		w.put(b)
	}
	w.collect()
	for _, d := range gone {
		w.wantNoBlob(d)
		w.wantObjects(d)
	}
	for _, b := range renewed {
		blob := w.wantBlob(b)
		w.wantObjects(blob.Digest, blob.Generation)
	}
	if w.copies.deleted[gone[0]] == 0 {
		t.Error("the copies of a collected blob stay")
	}
	w.wantNoBlob(cas.DigestOf(textOf(gone[0])))
}

// giveCopy gives a blob a copy at a provider.
func (w *world) giveCopy(d cas.Digest) {
	w.t.Helper()
	wanted := ledger.Wanted{Key: ledger.Key{Digest: d, Provider: "kimi", Account: "kimi-1", Purpose: "file-extract", Extension: ".pdf"}, Name: "a.pdf", Size: 1}
	claimed, won, err := w.index.Change(w.t.Context(), ledger.Claim(wanted, time.Minute))
	if err != nil || !won {
		w.t.Fatalf("claim: %v, %v", won, err)
	}
	if _, _, err := w.index.Change(w.t.Context(), ledger.Complete(claimed.Key, claimed.Fence, providers.RemoteFile{ID: "f", Size: 1, Status: providers.StatusReady})); err != nil {
		w.t.Fatal(err)
	}
}

// textOf is the text extracted from a blob.
func textOf(d cas.Digest) []byte { return []byte("the text of " + d.String()) }

// giveText gives a blob an extracted text.
func (w *world) giveText(d cas.Digest) {
	w.t.Helper()
	text := w.put(textOf(d))
	if err := w.index.SetExtractedText(w.t.Context(), ledger.TextKey{Digest: d, Provider: "kimi", Extension: ".pdf"}, text); err != nil {
		w.t.Fatal(err)
	}
}

func TestCopiesAndTextsGoWithTheirBlob(t *testing.T) {
	t.Parallel()
	setups(t, func(t *testing.T, w *world) {
		alone := w.put([]byte("alone"))
		full := w.put([]byte("with a copy and a text"))
		w.giveCopy(full)
		w.giveText(full)
		w.remove(alone)
		w.remove(full)
		w.collect() // the blobs, and then the text
		if len(w.copies.deleted) != 1 || w.copies.deleted[full] != 1 {
			t.Errorf("the copies of %v were deleted", w.copies.deleted)
		}
		text := cas.DigestOf(textOf(full))
		w.wantNoBlob(text)
		w.wantObjects(text)
	})
}

// The copies and texts of a blob that was put again belong to the new one.
func TestCopiesAndTextsStayWithABlobThatCameBack(t *testing.T) {
	t.Parallel()
	w := embedded(t)
	b := castest.RandomBytes(100)
	d := w.put(b)
	w.giveCopy(d)
	w.giveText(d)
	w.remove(d)
	_, err := w.collector(func(o *collector.Options) {
		o.OnStep = func(s collector.Step, _ cas.ObjectRef) {
			if s == collector.StepStarted {
				w.put(b)
			}
		}
	}).Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.wantBlob(b)
	w.wantBlob(textOf(d))
	if len(w.copies.deleted) != 0 {
		t.Error("its copies were deleted")
	}
}

func TestOneCollectorAtATime(t *testing.T) {
	t.Parallel()
	setups(t, func(t *testing.T, w *world) {
		w.remove(w.put(castest.RandomBytes(100)))
		var second error
		_, err := w.collector(func(o *collector.Options) {
			o.Lease = time.Minute
			o.OnStep = func(s collector.Step, _ cas.ObjectRef) {
				if s == collector.StepStarted {
					w.remove(w.put(castest.RandomBytes(200)))
					_, second = w.collector(nil).Collect(t.Context())
				}
			}
		}).Collect(t.Context())
		if err != nil || !errors.Is(second, collector.ErrRunning) {
			t.Errorf("the first collection: %v; the second: %v", err, second)
		}
	})
}

// A collector whose lease another one has taken stops.
func TestACollectorThatLostItsLeaseStops(t *testing.T) {
	t.Parallel()
	w := embedded(t)
	for range 3 {
		w.remove(w.put(castest.RandomBytes(100)))
	}
	var cut atomic.Bool // from the index
	w.index.fail = func(op string) (bool, bool) { return op == "extend" && cut.Load(), false }
	run, err := w.collector(func(o *collector.Options) {
		o.Concurrency, o.Lease = 1, 40*time.Millisecond
		o.Objects = deleteFunc(func(ctx context.Context, _ cas.ObjectRef) error {
			cut.Store(true)
			castest.Eventually(t, "the end of the lease", func() bool {
				held, err := w.index.index.SaveRun(t.Context(), collector.Run{ID: "other"}, time.Hour)
				return err == nil && held
			})
			cut.Store(false)
			<-ctx.Done()
			return ctx.Err()
		})
	}).Collect(t.Context())
	if !errors.Is(err, collector.ErrRunning) || run.Blobs != 0 {
		t.Errorf("the collection ended with %+v, error %v", run, err)
	}
}

// deleteFunc is an object store that only deletes.
type deleteFunc func(ctx context.Context, ref cas.ObjectRef) error

func (f deleteFunc) Delete(ctx context.Context, ref cas.ObjectRef) error { return f(ctx, ref) }

func TestTheBrake(t *testing.T) {
	t.Parallel()
	w := embedded(t)
	for i := range 3 {
		w.put(fmt.Appendf(nil, "kept %d", i))
	}
	var last cas.Digest
	for i := range 4 {
		last = w.put(fmt.Appendf(nil, "deleted %d", i))
		w.remove(last)
	}
	c := w.collector(func(o *collector.Options) { o.Brake = collector.Brake{MaxBlobs: 3} })
	for range 2 {
		run, err := c.Collect(t.Context())
		brake, stopped := errors.AsType[*collector.BrakeError](err)
		if !stopped {
			t.Fatal(err)
		}
		if brake.Due.Blobs != 4 || !strings.Contains(brake.Error(), "would remove 4 blobs, and the limit is 3") || run.Blobs != 0 {
			t.Errorf("the collection is %+v, error %v", run, err)
		}
		w.wantObjects(last, 0)
		if saved, running, err := w.index.LastRun(t.Context()); err != nil || running || saved.Error != brake.Error() {
			t.Errorf("the last run is %+v, running %v, error %v", saved, running, err)
		}
	}
	if s := c.Stats(); !s.Stopped || s.Due != 4 || s.LastSuccess != 0 {
		t.Errorf("the figures are %+v", s)
	}
	due, err := c.Survey(t.Context(), 1)
	if _, stopped := errors.AsType[*collector.BrakeError](err); !stopped || due.Blobs != 4 || due.Visible != 3 || len(due.Largest) != 1 {
		t.Errorf("the survey is %+v, error %v", due, err)
	}
	// A few blobs may always go, whatever their share.
	if run, err := w.collector(func(o *collector.Options) { o.Brake = collector.Brake{MaxShare: 0.01} }).Collect(t.Context()); err != nil || run.Blobs != 4 {
		t.Errorf("the collection is %+v, error %v", run, err)
	}
}

func TestTheBrakeOnAShare(t *testing.T) {
	t.Parallel()
	w := embedded(t)
	w.index.dueNow = &collector.Due{Blobs: 1200, Visible: 1200}
	half := func(share float64) error {
		_, err := w.collector(func(o *collector.Options) { o.Brake = collector.Brake{MaxShare: share} }).Collect(t.Context())
		return err
	}
	if err := half(0.49); err == nil || !strings.Contains(err.Error(), "would remove 1200 of 2400 blobs (50 %), and the limit is 49 %") {
		t.Errorf("more than the share: %v", err)
	}
	for _, share := range []float64{0.5, 1, 0} {
		if err := half(share); err != nil {
			t.Errorf("with a limit of %g: %v", share, err)
		}
	}
}

// A store that refuses to delete one object holds nothing else up, and the next
// collection tries again.
func TestAnObjectThatCannotBeRemoved(t *testing.T) {
	t.Parallel()
	w := embedded(t)
	bad := w.put([]byte("bad"))
	good := w.put([]byte("good"))
	w.remove(bad)
	w.remove(good)
	w.objects.SetHook(func(op castest.Op, ref cas.ObjectRef) castest.Fault {
		if op == castest.OpDelete && ref.Digest == bad {
			return castest.Fault{Err: cas.ErrStoreUnavailable}
		}
		return castest.Fault{}
	})
	c := w.collector(nil)
	run, err := c.Collect(t.Context())
	if err != nil || run.Blobs != 1 || run.Failed != 1 || !strings.Contains(run.Error, cas.ErrStoreUnavailable.Error()) {
		t.Errorf("the collection is %+v, error %v", run, err)
	}
	w.wantObjects(good)
	w.wantObjects(bad, 0)
	w.objects.SetHook(nil)
	w.collect()
	w.wantObjects(bad)
}

// A collection that was interrupted leaves rows that are deleting. The next one takes them up
// at once: no process works on them.
func TestInterruptedCollectionIsTakenUp(t *testing.T) {
	t.Parallel()
	setups(t, func(t *testing.T, w *world) {
		for i := range 3 {
			w.remove(w.put(fmt.Appendf(nil, "blob %d", i)))
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		interrupted := w.collector(func(o *collector.Options) {
			o.Lease = time.Hour
			o.OnStep = func(collector.Step, cas.ObjectRef) { stop() }
		})
		if run, err := interrupted.Collect(ctx); !errors.Is(err, context.Canceled) || run.Blobs == 3 {
			t.Fatalf("the collection is %+v, error %v", run, err)
		}
		next := w.collector(func(o *collector.Options) { o.Lease = time.Hour })
		if run, err := next.Collect(t.Context()); err != nil || run.Blobs != 3 || run.Failed != 0 {
			t.Errorf("the next collection is %+v, error %v", run, err)
		}
	})
}

// Run collects again and again, and ends with its context.
func TestRunCollectsInIntervals(t *testing.T) {
	t.Parallel()
	w := embedded(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	c := w.collector(func(o *collector.Options) { o.Interval = time.Millisecond })
	go func() { ended <- c.Run(ctx) }()
	for i := range 3 {
		d := w.put(fmt.Appendf(nil, "blob %d", i))
		w.remove(d)
		castest.Eventually(t, "the removal of the object", func() bool {
			_, err := w.objects.Open(t.Context(), cas.ObjectRef{Digest: d}, 0, -1)
			return errors.Is(err, cas.ErrObjectMissing)
		})
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v", err)
	}
	if s := c.Stats(); s.Blobs < 2 || s.LastSuccess == 0 {
		t.Errorf("the figures are %+v", s)
	}
}

// Many objects go with one request. What it leaves, because it fails or the store does not
// know it, goes one by one.
func TestCollectInBatches(t *testing.T) {
	t.Parallel()
	setups(t, func(t *testing.T, w *world) {
		for name, batches := range map[string]collector.BatchObjects{
			"the store's": w.batches,
			"partly":      &leavingBatches{world: w, removes: func(i int) bool { return i%2 == 0 }},
			"applied":     &leavingBatches{world: w, removes: func(int) bool { return true }, denies: true},
			"unknown":     &leavingBatches{world: w, removes: func(int) bool { return false }},
		} {
			var gone []cas.Digest
			for i := range 60 {
				gone = append(gone, w.put(fmt.Appendf(nil, "%s %d", name, i)))
				w.remove(gone[i])
			}
			run, err := w.collector(func(o *collector.Options) { o.Lease, o.Share, o.Batches = time.Minute, w.share, batches }).Collect(t.Context())
			if err != nil || run.Blobs != int64(len(gone)) || run.Failed != 0 {
				t.Errorf("%s: the collection is %+v, error %v", name, run, err)
			}
			for _, d := range gone {
				w.wantObjects(d)
			}
			if b, ok := batches.(*leavingBatches); ok && b.calls.Load() < 2 {
				t.Errorf("%s: %d requests", name, b.calls.Load())
			}
		}
	})
}

// leavingBatches removes some of the objects.
type leavingBatches struct {
	world   *world
	removes func(i int) bool
	denies  bool // it says that it removed none
	calls   atomic.Int64
}

func (b *leavingBatches) DeleteAll(ctx context.Context, refs []cas.ObjectRef) (left []cas.ObjectRef, err error) {
	b.calls.Add(1)
	for i, ref := range refs {
		if !b.removes(i) {
			left, err = append(left, ref), cas.ErrStoreRefused
		} else if err := b.world.objects.Delete(ctx, ref); err != nil {
			return refs, err
		}
	}
	if b.denies {
		return refs, cas.ErrStoreUnavailable
	}
	return left, err
}
