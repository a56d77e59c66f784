package scrubber

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"casgate/cas"
)

// Plan says which blobs a scrub by command checks.
type Plan struct {
	// Quick compares the size and the stored checksum, and reads only objects that differ
	// in them and those of suspect blobs.
	Quick bool
	// OlderThan leaves out blobs that were verified, or else created, more recently. 0 means
	// none. A suspect blob is always checked. A quick scrub ignores it.
	OlderThan time.Duration
	// Sample is the share of the blobs to check, chosen at random; 0 and 1 mean all.
	Sample float64
}

// pollInterval is how often a scrub looks for blobs that another scrub has claimed.
const pollInterval = time.Second

// all is the window with all digests.
var all = Window{To: cas.Digest(bytes.Repeat([]byte{0xff}, len(cas.Digest{})))}

// has reports whether the window has a digest.
func (w Window) has(d cas.Digest) bool {
	isAfter, isBefore := bytes.Compare(d[:], w.From[:]) >= 0, bytes.Compare(d[:], w.To[:]) <= 0
	if bytes.Compare(w.From[:], w.To[:]) <= 0 {
		return isAfter && isBefore
	}
	return isAfter || isBefore
}

// sample returns a window with a share of all digests, which are evenly spread.
func sample(share float64) Window {
	if share <= 0 || share >= 1 {
		return all
	}
	from := rand.Uint64()
	w := all
	binary.BigEndian.PutUint64(w.From[:], from)
	binary.BigEndian.PutUint64(w.To[:], from+uint64(share*math.MaxUint64))
	return w
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// Scrub checks blobs as the plan says, under a lease, so that one scrub by command runs
// at a time. It returns the state at its end. Damaged objects are no error. Errors:
// ErrRunning, *BrakeError, those of the index, the object store and Options.CheckStore.
// After an error, Resume continues the scrub.
func (s *Scrubber) Scrub(ctx context.Context, p Plan) (Run, error) {
	now, err := s.o.Index.Clock(ctx)
	if err != nil {
		return Run{}, err
	}
	return s.lead(ctx, Run{ID: newID(), StartedAt: now.UTC(), Quick: p.Quick, Before: now.Add(-p.OlderThan).UTC(), Window: sample(p.Sample)})
}

// Resume continues the last scrub by command, if it has not checked everything. Errors:
// ErrNothingToResume, and those of Scrub.
func (s *Scrubber) Resume(ctx context.Context) (Run, error) {
	run, running, err := s.o.Index.LastScrub(ctx)
	switch {
	case err != nil:
		return Run{}, err
	case running:
		return Run{}, ErrRunning
	case run.ID == "" || run.Complete:
		return Run{}, ErrNothingToResume
	}
	run.ID, run.EndedAt, run.Error, run.Unread = newID(), time.Time{}, "", 0
	if !run.Quick {
		// Suspect blobs are checked again, since the scrub may have ended before their repair.
		run.Blobs -= run.Damaged - run.Repaired
		run.Damaged = run.Repaired
	}
	return s.lead(ctx, run)
}

// lead checks blobs under the lease.
func (s *Scrubber) lead(ctx context.Context, run Run) (Run, error) {
	w := s.newWork(run)
	held, err := s.o.Index.SaveScrub(ctx, run, s.o.Lease)
	if err != nil {
		return run, err
	}
	if !held {
		return run, ErrRunning
	}
	read := s.stats.bytes.Load()
	counted := func(r Run) Run { r.Bytes += s.stats.bytes.Load() - read; return r }
	working, stop := context.WithCancelCause(ctx)
	var keeping sync.WaitGroup
	keeping.Go(func() { w.keepLease(working, stop, counted) })
	if run.Quick {
		err = w.quick(working)
	} else {
		err = w.full(working)
	}
	if cause := context.Cause(working); cause != nil {
		err = cause
	}
	stop(nil)
	keeping.Wait()
	run = counted(w.state())
	return s.end(ctx, run, err)
}

// end stores the last state, and gives the lease back. If that fails the lease runs out.
func (s *Scrubber) end(ctx context.Context, run Run, err error) (Run, error) {
	run.Complete = err == nil
	if err != nil {
		run.Error = err.Error()
	}
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	now, saveErr := s.o.Index.Clock(call)
	if saveErr == nil {
		run.EndedAt = now.UTC()
		_, saveErr = s.o.Index.SaveScrub(call, run, 0)
	}
	if err == nil {
		err = saveErr
	}
	return run, err
}

// keepLease extends the lease until ctx is done. It stops the work if another scrub has
// the lease.
func (w *work) keepLease(ctx context.Context, stop context.CancelCauseFunc, counted func(Run) Run) {
	tick := time.NewTicker(w.s.o.Lease / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// A call that is broken off may still reach the index, after the end has given the lease
		// back. So it is not broken off: the index bounds it.
		held, err := w.s.o.Index.SaveScrub(context.WithoutCancel(ctx), counted(w.state()), w.s.o.Lease)
		if err == nil && !held {
			stop(ErrRunning)
			return
		}
	}
}

// full reads all objects that are due, those of suspect blobs first.
func (w *work) full(ctx context.Context) error {
	run := w.state()
	now, err := w.s.o.Index.Clock(ctx)
	if err != nil {
		return err
	}
	for _, due := range []Due{
		{State: cas.StateSuspect, Before: now, Window: run.Window, Limit: batchSize},
		{State: cas.StateLive, Before: run.Before, Window: run.Window, Limit: batchSize},
	} {
		for {
			busy, more, err := w.next(ctx, due)
			if err != nil {
				return err
			}
			if !more && !busy {
				break
			}
			if busy {
				// Another scrub has the rest. If it dies, its claims run out.
				if err := wait(ctx, pollInterval); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// next checks a batch of blobs that are due. More is false if there was none.
func (w *work) next(ctx context.Context, due Due) (busy, more bool, err error) {
	blobs, busy, err := w.s.o.Index.ClaimDue(ctx, w.claim, due)
	if err != nil || len(blobs) == 0 {
		return busy, false, err
	}
	return false, true, w.check(ctx, blobs, len(blobs))
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// quick looks at all objects, and reads those that look damaged, and those of suspect
// blobs. Only a read decides.
func (w *work) quick(ctx context.Context) error {
	run := w.state()
	for {
		page, err := w.s.o.Index.List(ctx, cas.Query{Limit: batchSize, After: cas.Cursor(w.state().Position)})
		if err != nil || len(page) == 0 {
			return err
		}
		var blobs []cas.Blob
		for _, b := range page {
			if run.Window.has(b.Digest) {
				blobs = append(blobs, b)
			}
		}
		if err := w.look(ctx, blobs); err != nil {
			return err
		}
		last := page[len(page)-1]
		w.mu.Lock()
		w.run.Position = Position{last.CreatedAt, last.Digest}
		w.mu.Unlock()
	}
}

// look looks at the objects of blobs.
func (w *work) look(ctx context.Context, blobs []cas.Blob) error {
	differs := make([]bool, len(blobs))
	lookers, looking := errgroup.WithContext(ctx)
	lookers.SetLimit(max(w.s.o.Concurrency, parallelLooks))
	for i, b := range blobs {
		if differs[i] = b.State == cas.StateSuspect; differs[i] {
			continue
		}
		lookers.Go(func() error {
			f := finding{blob: b, began: time.Now()}
			f.err = w.s.glance(looking, b)
			switch {
			case looking.Err() != nil:
				return context.Cause(looking)
			case f.err == nil:
				w.readWell()
				w.count(Result{Blob: b, Began: f.began, Outcome: OutcomeRight})
				return nil
			case isDamage(f.err):
				differs[i] = true
				return nil
			}
			return w.noteUnread(looking, f)
		})
	}
	if err := lookers.Wait(); err != nil {
		return err
	}
	var ds []cas.Digest
	for i, b := range blobs {
		if differs[i] {
			ds = append(ds, b.Digest)
		}
	}
	if len(ds) == 0 {
		return ctx.Err()
	}
	claimed, err := w.s.o.Index.ClaimBlobs(ctx, w.claim, ds...)
	if err != nil {
		return err
	}
	return w.check(ctx, claimed, len(blobs))
}

// parallelLooks is how many objects a quick scrub looks at together.
const parallelLooks = 8

// Verify checks one blob, even if another scrub has claimed it. A damaged object is no
// error, but in the result. Errors: cas.ErrBlobNotFound, and those of Scrub but
// ErrRunning and *BrakeError.
func (s *Scrubber) Verify(ctx context.Context, d cas.Digest) (Result, error) {
	w := s.newWork(Run{})
	w.brake = Brake{}
	claimed, err := s.o.Index.ClaimBlobs(ctx, w.claim, d)
	if err != nil {
		return Result{}, err
	}
	if len(claimed) == 0 {
		return Result{}, fmt.Errorf("verify %s: %w", d, cas.ErrBlobNotFound)
	}
	err = w.check(ctx, claimed, len(claimed))
	return w.last, err
}

// Run checks blobs that were not verified for Options.Every, at once and then in
// intervals, until ctx is done. It returns ctx's error. Any number of gateways may run
// it; they share the work.
func (s *Scrubber) Run(ctx context.Context) error {
	tick := time.NewTicker(s.o.Interval)
	defer tick.Stop()
	for {
		run, err := s.pass(ctx)
		s.logPass(ctx, run, err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// suspectAge is the time after which Run looks at a suspect blob again: its object may
// be right again, or a source may have its bytes.
const suspectAge = time.Hour

// pass checks everything that is due for Run.
func (s *Scrubber) pass(ctx context.Context) (Run, error) {
	now, err := s.o.Index.Clock(ctx)
	if err != nil {
		return Run{}, err
	}
	w := s.newWork(Run{})
	for _, due := range []Due{
		{State: cas.StateSuspect, Before: now.Add(-min(suspectAge, s.o.Every)), Window: all, Limit: batchSize},
		{State: cas.StateLive, Before: now.Add(-s.o.Every), Window: all, Limit: batchSize},
	} {
		for more := true; more && err == nil; {
			_, more, err = w.next(ctx, due)
		}
	}
	return w.state(), err
}

func (s *Scrubber) logPass(ctx context.Context, run Run, err error) {
	if ctx.Err() != nil {
		return
	}
	s.stats.stopped.Store(err != nil)
	if err != nil {
		s.o.Log.Error().Err(err).Int64("blobs", run.Blobs).Int64("damaged", run.Damaged).Msg("the scrub stopped; it tries again")
		return
	}
	s.stats.lastSuccess.Store(time.Now().Unix())
	event := s.o.Log.Info()
	switch {
	case run.Damaged > run.Repaired || run.Unread > 0:
		event = s.o.Log.Warn()
	case run.Blobs == 0:
		return
	}
	event.Int64("blobs", run.Blobs).Int64("damaged", run.Damaged).Int64("repaired", run.Repaired).Int64("unread", run.Unread).
		Msg("scrubbed objects")
}
