package scrubber

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"casgate/cas"
)

const (
	// batchSize is the number of blobs that are claimed together.
	batchSize = 100
	// flushEvery is how often the right objects of a batch are recorded.
	flushEvery = 5 * time.Second
	// endTimeout limits the last writes of a scrub whose context is done.
	endTimeout = 5 * time.Second
	// maxFailures is the number of failed reads in a row that count as an outage.
	maxFailures = 5
)

// errOutage: the object store fails, so a scrub of it proves nothing.
var errOutage = errors.New("the scrub stopped, since the object store does not work")

// work is a pass over blobs.
type work struct {
	s     *Scrubber
	claim Claim
	brake Brake

	mu       sync.Mutex
	run      Run
	unread   map[cas.Digest]bool
	failures int // failed reads in a row
	last     Result
}

func (s *Scrubber) newWork(run Run) *work {
	return &work{
		s: s, claim: Claim{ID: newID(), Lease: s.o.Lease}, brake: s.o.Brake,
		run: run, unread: map[cas.Digest]bool{},
	}
}

// finding is the result of reading an object.
type finding struct {
	blob  cas.Blob
	began time.Time
	err   error
}

// batch is a number of claimed blobs.
type batch struct {
	*work
	looked int // the objects that were looked at, of which these are a part

	mu      sync.Mutex
	open    map[cas.Digest]cas.Blob // not yet recorded
	right   []finding
	damaged []finding
	flushed time.Time
}

// check checks claimed blobs and records the results. The errors are those of the index
// and the context, *BrakeError, errOutage, and those of Options.CheckStore; the blobs
// that are not recorded are then free for the next scrub.
func (w *work) check(ctx context.Context, blobs []cas.Blob, looked int) error {
	b := &batch{work: w, looked: looked, open: map[cas.Digest]cas.Blob{}, flushed: time.Now()}
	for _, blob := range blobs {
		b.open[blob.Digest] = blob
		w.s.o.OnStep(StepClaimed, blob.Object())
	}
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var keeping sync.WaitGroup
	keeping.Go(func() { b.keepClaim(working) })
	readers, reading := errgroup.WithContext(working)
	readers.SetLimit(w.s.o.Concurrency)
	for _, blob := range blobs {
		if reading.Err() != nil {
			break
		}
		readers.Go(func() error { return b.read(reading, blob) })
	}
	err := readers.Wait()
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = b.settle(ctx)
	}
	stop(nil)
	keeping.Wait()
	if err != nil {
		b.giveUp(ctx)
	}
	return err
}

// keepClaim extends the claim of the open blobs until ctx is done. If it can't, another
// scrub checks them too, and only one result counts.
func (b *batch) keepClaim(ctx context.Context) {
	tick := time.NewTicker(b.claim.Lease / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		b.mu.Lock()
		var ds []cas.Digest
		for d := range b.open {
			ds = append(ds, d)
		}
		b.mu.Unlock()
		if err := b.s.o.Index.ExtendClaim(ctx, b.claim, ds...); err != nil && ctx.Err() == nil {
			b.s.o.Log.Warn().Err(err).Msg("could not extend the claim of a scrub")
		}
	}
}

// read reads one object. Its error ends the batch.
func (b *batch) read(ctx context.Context, blob cas.Blob) error {
	f := finding{blob: blob, began: time.Now()}
	f.err = b.s.check(ctx, blob)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	b.s.o.OnStep(StepRead, blob.Object())
	if f.err != nil && !isDamage(f.err) {
		b.mu.Lock()
		delete(b.open, blob.Digest) // the claim stays until it runs out, so that others come first
		b.mu.Unlock()
		return b.noteUnread(ctx, f)
	}
	b.readWell()
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.err != nil {
		b.damaged = append(b.damaged, f)
		return nil
	}
	b.right = append(b.right, f)
	if time.Since(b.flushed) < flushEvery {
		return nil
	}
	return b.flush(ctx)
}

// readWell ends a row of failed reads.
func (w *work) readWell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = 0
}

// noteUnread counts an object that could not be read. It returns an error that wraps
// errOutage if the store fails.
func (w *work) noteUnread(ctx context.Context, f finding) error {
	w.mu.Lock()
	w.failures++
	isOutage := w.failures >= maxFailures
	w.unread[f.blob.Digest] = true
	w.run.Unread = int64(len(w.unread))
	w.tell(Result{Blob: f.blob, Began: f.began, Outcome: OutcomeUnread, Err: f.err})
	w.mu.Unlock()
	if isOutage {
		return fmt.Errorf("%w: %w", errOutage, f.err)
	}
	if err := w.s.o.Objects.Check(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", errOutage, err)
	}
	return nil
}

// flush records the right objects. The caller holds b.mu.
func (b *batch) flush(ctx context.Context) error {
	b.flushed = time.Now()
	right := b.right
	b.right = nil
	if len(right) == 0 {
		return nil
	}
	checks := make([]Check, len(right))
	for i, f := range right {
		checks[i] = Check{ObjectRef: f.blob.Object(), Verdict: VerdictRight}
		if f.blob.State == cas.StateSuspect {
			checks[i].Verdict = VerdictHealed
		}
	}
	counted, err := b.finish(ctx, checks)
	if err != nil {
		return err
	}
	for _, f := range right {
		delete(b.open, f.blob.Digest)
		r := Result{Blob: f.blob, Began: f.began, Outcome: OutcomeRight}
		switch {
		case !counted[f.blob.Object()]:
			r.Outcome = OutcomeChanged
		case f.blob.State == cas.StateSuspect:
			r.Outcome = OutcomeHealed
		}
		b.count(r)
	}
	return nil
}

// finish records checks, and returns the objects whose check counted.
func (w *work) finish(ctx context.Context, checks []Check) (map[cas.ObjectRef]bool, error) {
	for _, c := range checks {
		if c.Verdict == VerdictDamaged {
			w.s.o.Forget(c.ObjectRef)
			defer w.s.o.Forget(c.ObjectRef) // also after an error: the index may have marked it
		}
	}
	refs, err := w.s.o.Index.FinishChecks(ctx, w.claim.ID, checks...)
	if err != nil {
		return nil, err
	}
	counted := make(map[cas.ObjectRef]bool, len(refs))
	for _, ref := range refs {
		counted[ref] = true
	}
	return counted, nil
}

// settle records the batch's results. Damaged objects are marked only together, once the
// whole batch shows that the store is the right one.
func (b *batch) settle(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.flush(ctx); err != nil || len(b.damaged) == 0 {
		return err
	}
	if err := b.s.o.CheckStore(ctx); err != nil {
		return fmt.Errorf("the scrub stopped, and marked none of the last %d missing or damaged objects: %w", len(b.damaged), err)
	}
	if err := b.brake.check(b.looked, b.damaged); err != nil {
		return err
	}
	checks := make([]Check, len(b.damaged))
	for i, f := range b.damaged {
		checks[i] = Check{ObjectRef: f.blob.Object(), Verdict: VerdictDamaged}
	}
	counted, err := b.finish(ctx, checks)
	if err != nil {
		return err
	}
	for _, f := range b.damaged {
		delete(b.open, f.blob.Digest)
		r := Result{Blob: f.blob, Began: f.began, Outcome: OutcomeChanged}
		if counted[f.blob.Object()] {
			r.Outcome, r.Err = OutcomeDamaged, f.err
			b.s.o.OnStep(StepMarked, f.blob.Object())
		}
		if r.Outcome == OutcomeDamaged && len(b.s.o.Sources) > 0 {
			if r.Source, r.RepairErr = b.s.repair(ctx, f.blob); r.RepairErr == nil {
				r.Outcome = OutcomeRepaired
			}
		}
		b.count(r)
	}
	return ctx.Err()
}

// giveUp records the right objects of a batch that ends early, and ends the claim of the
// other blobs, so that the next scrub need not wait until it runs out.
func (b *batch) giveUp(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	err := b.flush(call)
	if err == nil && len(b.open) > 0 {
		var checks []Check
		for _, blob := range b.open {
			checks = append(checks, Check{ObjectRef: blob.Object(), Verdict: VerdictNone})
		}
		_, err = b.finish(call, checks)
	}
	if err != nil {
		b.s.o.Log.Warn().Err(err).Msg("could not end the claim of a scrub; it runs out")
	}
}

// count adds the outcome for one blob to the run.
func (w *work) count(r Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unread[r.Blob.Digest] {
		delete(w.unread, r.Blob.Digest)
		w.run.Unread = int64(len(w.unread))
	}
	if r.Outcome == OutcomeChanged {
		w.run.Changed++
	} else {
		w.run.Blobs++
	}
	switch r.Outcome {
	case OutcomeHealed:
		w.run.Healed++
	case OutcomeDamaged:
		w.run.Damaged++
	case OutcomeRepaired:
		w.run.Damaged++
		w.run.Repaired++
	}
	w.tell(r)
}

// tell reports an outcome. The caller holds w.mu.
func (w *work) tell(r Result) {
	w.last = r
	w.s.stats.count(r.Outcome)
	w.s.o.Notify(r)
	w.s.o.Progress(w.run)
}

// state returns the current state of the run.
func (w *work) state() Run {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.run
}
