// Package collector removes the bytes of deleted blobs.
//
// A deleted blob is condemned: readers no longer see it, and an upload of the same bytes
// brings it back. After a grace period the collector removes it:
//
//	start   the row becomes deleting; from now on an upload takes the next generation
//	copies  the copies of the blob at providers are marked in the ledger, to be deleted
//	texts   the texts extracted from it are condemned, if nothing else needs them
//	delete  the object of that generation is removed
//	finish  the row becomes gone, a tombstone
//
// Every step may be repeated, and a crash between two steps leaves a row that the next
// collection takes up again. A lease in the index lets one collector work at a time, but
// two of them break nothing.
package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"casgate/cas"
)

// The defaults of Options.
const (
	DefaultGrace       = 24 * time.Hour
	DefaultInterval    = time.Minute
	DefaultConcurrency = 1
	// ServingShare is the Share beside the requests of clients. They keep nine tenths of
	// their rate then, or more.
	ServingShare = 1.0 / 3
	defaultLease = time.Minute
)

const (
	// batchSize is the number of blobs that start and finish together. A batch holds no
	// lock while objects are removed.
	batchSize = 250
	// requestSize is the number of objects that are removed with one request, where the
	// store can do that. Clients must not notice it.
	requestSize = 50
	// deleteTimeout limits the removal of one object. A store may block a delete behind a
	// slow read; the next collection tries again.
	deleteTimeout = 10 * time.Second
	// longestRest limits the rest for each object of some work, which may have met an outage
	// or a slow disk. 100,000 objects rest for 33 minutes at most.
	longestRest = 20 * time.Millisecond
	// quiet is the time after a request of a client in which another one is likely.
	quiet = 100 * time.Millisecond
	// endTimeout limits the last write of a collection whose context is done.
	endTimeout = 5 * time.Second
)

// ErrRunning: another collector is at work.
var ErrRunning = errors.New("another collection is running")

// Objects is what the collector needs of an object store.
type Objects interface {
	// Delete is described at cas.ObjectStore.
	Delete(ctx context.Context, ref cas.ObjectRef) error
}

// BatchObjects is an object store that removes many objects together.
type BatchObjects interface {
	// DeleteAll returns the objects whose removal is not confirmed, and why.
	DeleteAll(ctx context.Context, refs []cas.ObjectRef) (left []cas.ObjectRef, err error)
}

// Copies deletes copies at providers.
type Copies interface {
	// DeleteCopies marks all copies of a blob to be deleted. It may return before the
	// providers have confirmed.
	DeleteCopies(ctx context.Context, d cas.Digest) error
}

// Texts deletes the texts that were extracted from blobs.
type Texts interface {
	// Condemn condemns the texts of a blob that nothing else needs.
	Condemn(ctx context.Context, d cas.Digest) ([]cas.ReleasedText, error)
}

// Step is a step of removing a blob.
type Step string

// The steps, named for what is done when they are reported.
const (
	StepStarted  Step = "collect-started"  // the row is deleting
	StepReleased Step = "collect-released" // copies are marked, texts are condemned
	StepDeleted  Step = "collect-deleted"  // the object is removed
	StepFinished Step = "collect-finished" // the row is gone
)

// Result is the outcome for one blob.
type Result struct {
	Object
	Began time.Time
	Err   error
}

// Options configures a Collector. Zero values mean the defaults, unless the field says
// otherwise.
type Options struct {
	Index   Index
	Objects Objects
	Copies  Copies // optional; without it copies stay
	Texts   Texts  // optional; without it extracted texts stay
	// Grace is how long a blob must have been condemned. 0 means no grace.
	Grace time.Duration
	Brake Brake
	// Interval is the time between two collections of Run.
	Interval time.Duration
	// Concurrency is how many objects are removed at the same time. The default leaves
	// the store to the requests of clients.
	Concurrency int
	// Batches removes many objects together. Optional; Objects removes those that it leaves.
	Batches BatchObjects
	// Share is the part of the time in which the collector works, from 0 to 1. After each
	// request to the store and each change of rows it rests, so that the store, the index and
	// the processors have time for the requests of clients. 0 means 1: no rest.
	Share float64
	// LastRequest returns when this process last worked for a client, which is now during a
	// request. While no client comes, the collector does not rest. Optional; without it the
	// collector always rests.
	LastRequest func() time.Time
	// Rate limits the blobs removed per second; 0 means no limit.
	Rate float64
	// Lease is the time after which a collector that reports nothing counts as dead.
	Lease time.Duration
	// Notify is called with the outcome for each blob, from several goroutines. Optional.
	Notify func(Result)
	// Progress is called with the state of a collection after each batch. Optional.
	Progress func(Run)
	// OnStep is for tests: it is called after each step for each blob. Optional.
	OnStep func(Step, cas.ObjectRef)
	Log    zerolog.Logger
}

// Collector removes the bytes of deleted blobs.
type Collector struct {
	o       Options
	limiter *rate.Limiter
	stats   stats
}

// New returns a Collector. It starts nothing.
func New(o Options) *Collector {
	o.Interval = cmp.Or(o.Interval, DefaultInterval)
	o.Concurrency = cmp.Or(o.Concurrency, DefaultConcurrency)
	o.Lease = cmp.Or(o.Lease, defaultLease)
	o.Share = cmp.Or(o.Share, 1)
	if o.Notify == nil {
		o.Notify = func(Result) {}
	}
	if o.Progress == nil {
		o.Progress = func(Run) {}
	}
	if o.OnStep == nil {
		o.OnStep = func(Step, cas.ObjectRef) {}
	}
	limit := rate.Inf
	if o.Rate > 0 {
		limit = rate.Limit(o.Rate)
	}
	return &Collector{o: o, limiter: rate.NewLimiter(limit, o.Concurrency)}
}

// Run collects at once, and then in intervals, until ctx is done. It returns ctx's error.
// Any number of gateways may run it.
func (c *Collector) Run(ctx context.Context) error {
	tick := time.NewTicker(c.o.Interval)
	defer tick.Stop()
	for {
		run, err := c.Collect(ctx)
		c.logRun(ctx, run, err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (c *Collector) logRun(ctx context.Context, run Run, err error) {
	var event *zerolog.Event
	switch {
	case ctx.Err() != nil, errors.Is(err, ErrRunning):
		return
	case err != nil:
		event = c.o.Log.Warn().Err(err)
	case run.Failed > 0:
		event = c.o.Log.Warn().Str("last_error", run.Error)
	case run.Blobs > 0:
		event = c.o.Log.Info()
	default:
		return
	}
	event.Str("collection", run.ID).Int64("due", run.Due).Int64("blobs", run.Blobs).Int64("bytes", run.Bytes).
		Int64("failed", run.Failed).Msg("collected deleted blobs")
}

// Survey returns what Collect would remove now, with some of the largest blobs. The
// error is a *BrakeError if Collect would refuse.
func (c *Collector) Survey(ctx context.Context, largest int) (Due, error) {
	due, err := c.o.Index.Due(ctx, DueQuery{Grace: c.o.Grace, Largest: largest, Visible: true})
	if err != nil {
		return Due{}, err
	}
	return due, c.o.Brake.check(due)
}

// Collect removes the blobs that are due when it begins. It returns the state at its
// end. Failures of single blobs are in run.Failed, and the next collection tries them
// again. Errors: ErrRunning, a *BrakeError, and those of the index.
func (c *Collector) Collect(ctx context.Context) (run Run, err error) {
	due, err := c.o.Index.Due(ctx, DueQuery{Grace: c.o.Grace})
	if err == nil && c.o.Brake.needsShare(due) {
		due, err = c.o.Index.Due(ctx, DueQuery{Grace: c.o.Grace, Visible: true})
	}
	if err != nil {
		return Run{}, err
	}
	c.stats.due.Store(due.Blobs)
	if due.Blobs == 0 {
		c.stats.ended(nil)
		return Run{}, nil
	}
	run = Run{ID: uuid.Must(uuid.NewV7()).String(), StartedAt: time.Now().UTC(), Due: due.Blobs}
	brake := c.o.Brake.check(due)
	if brake == nil {
		run, err = c.collect(ctx, run)
	} else {
		run.Error, run.EndedAt = brake.Error(), time.Now().UTC()
		if _, err = c.o.Index.SaveRun(ctx, run, 0); err == nil {
			err = brake
		}
	}
	c.stats.ended(err)
	return run, err
}

// collect removes blobs under the lease.
func (c *Collector) collect(ctx context.Context, run Run) (Run, error) {
	w := &work{c: c, began: time.Now(), run: run, patience: c.o.Lease}
	last, _, err := c.o.Index.LastRun(ctx)
	if err != nil {
		return run, err
	}
	if !last.EndedAt.IsZero() {
		w.patience = 0 // no process works on what it left
	}
	held, err := c.o.Index.SaveRun(ctx, run, c.o.Lease)
	if err != nil {
		return run, err
	}
	if !held {
		return run, ErrRunning
	}
	working, stop := context.WithCancelCause(ctx)
	var keeping sync.WaitGroup
	keeping.Go(func() { w.keepLease(working, stop) })
	err = w.removeAll(working)
	if cause := context.Cause(working); cause != nil {
		err = cause
	}
	stop(nil)
	keeping.Wait()
	return w.end(ctx, err)
}

// work is a running collection.
type work struct {
	c     *Collector
	began time.Time
	// patience is how long a row must have been deleting before the run began: while another
	// process may still work on it.
	patience time.Duration

	mu  sync.Mutex
	run Run
}

// state returns the current state of the run.
func (w *work) state() Run {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.run
}

// keepLease extends the lease until ctx is done. It stops the work if another collector
// has the lease. If the index fails for longer than the lease, the work stops itself,
// since it needs the index too.
func (w *work) keepLease(ctx context.Context, stop context.CancelCauseFunc) {
	tick := time.NewTicker(w.c.o.Lease / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// A call that is broken off may still reach the index, after the end has given the lease
		// back. So it is not broken off: the index bounds it.
		held, err := w.c.o.Index.SaveRun(context.WithoutCancel(ctx), w.state(), w.c.o.Lease)
		if err == nil && !held {
			stop(ErrRunning)
			return
		}
	}
}

// removeAll removes batches until everything is done that was due at the start. Blobs
// that become due meanwhile are the next collection's, which asks the brake about them.
func (w *work) removeAll(ctx context.Context) error {
	for left := w.run.Due; left > 0; {
		began := time.Now()
		objects, err := w.c.o.Index.StartDeleting(ctx, Batch{
			Grace: w.c.o.Grace,
			Limit: int(min(left, batchSize)),
			// Only rows that were deleting before this run began: its own failures are the
			// next one's.
			Retry: time.Since(w.began) + w.patience,
		})
		if err != nil || len(objects) == 0 {
			return err
		}
		w.c.rest(ctx, time.Since(began), len(objects))
		left -= int64(len(objects))
		if err := w.removeBatch(ctx, objects); err != nil {
			return err
		}
		w.c.o.Progress(w.state())
	}
	return nil
}

// removeBatch removes the objects of rows that are deleting, and finishes those rows. It
// returns errors of the index and the context only.
func (w *work) removeBatch(ctx context.Context, objects []Object) error {
	results := make([]Result, len(objects))
	for i, o := range objects {
		results[i].Object = o
	}
	size := 1
	if w.c.o.Batches != nil {
		size = requestSize
	}
	var workers errgroup.Group
	workers.SetLimit(w.c.o.Concurrency)
	for some := range slices.Chunk(results, size) {
		if err := w.c.await(ctx, len(some)); err != nil {
			break
		}
		workers.Go(func() error {
			began := time.Now()
			w.c.remove(ctx, some)
			w.c.rest(ctx, time.Since(began), len(some))
			return nil
		})
	}
	_ = workers.Wait() // the results have the errors
	if err := ctx.Err(); err != nil {
		return err
	}
	var removed []cas.ObjectRef
	for _, r := range results {
		if r.Err == nil {
			removed = append(removed, r.ObjectRef)
		}
	}
	began := time.Now()
	if err := w.c.o.Index.FinishDeleting(ctx, removed...); err != nil {
		return err
	}
	took := time.Since(began)
	for _, r := range results {
		if r.Err == nil {
			w.c.o.OnStep(StepFinished, r.ObjectRef)
		}
		w.count(r)
	}
	w.c.rest(ctx, took, len(removed))
	return nil
}

// await waits until the rate allows to remove n objects.
func (c *Collector) await(ctx context.Context, n int) error {
	for range n {
		if err := c.limiter.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// remove removes the objects of results, and what belongs to their blobs. It sets the
// errors of the results.
func (c *Collector) remove(ctx context.Context, results []Result) {
	for i := range results {
		r := &results[i]
		r.Began = time.Now()
		c.o.OnStep(StepStarted, r.ObjectRef)
		if r.HasCopies || r.HasTexts {
			r.Err = c.release(ctx, r.Object)
		}
		if r.Err == nil {
			c.o.OnStep(StepReleased, r.ObjectRef)
		}
	}
	removed := c.removeTogether(ctx, results)
	for i := range results {
		r := &results[i]
		if r.Err == nil && !removed[r.ObjectRef] {
			r.Err = c.removeObject(ctx, r.ObjectRef)
		}
		if r.Err == nil {
			c.o.OnStep(StepDeleted, r.ObjectRef)
		}
	}
}

// removeTogether removes the objects of results with one request, if the store can do
// that, and returns the removed ones.
func (c *Collector) removeTogether(ctx context.Context, results []Result) map[cas.ObjectRef]bool {
	var refs []cas.ObjectRef
	for _, r := range results {
		if r.Err == nil {
			refs = append(refs, r.ObjectRef)
		}
	}
	if c.o.Batches == nil || len(refs) < 2 {
		return nil
	}
	call, cancel := context.WithTimeout(ctx, deleteTimeout)
	defer cancel()
	left, err := c.o.Batches.DeleteAll(call, refs)
	if err != nil {
		c.o.Log.Debug().Err(err).Int("left", len(left)).Msg("removing objects one by one")
	}
	removed := make(map[cas.ObjectRef]bool, len(refs))
	for _, ref := range refs {
		removed[ref] = true
	}
	for _, ref := range left {
		delete(removed, ref)
	}
	return removed
}

// removeObject removes one object.
func (c *Collector) removeObject(ctx context.Context, ref cas.ObjectRef) error {
	call, cancel := context.WithTimeout(ctx, deleteTimeout)
	defer cancel()
	return c.o.Objects.Delete(call, ref)
}

// rest waits after work for n objects took a while, so that the work is the set share of the
// time. It does not wait if there are no clients.
func (c *Collector) rest(ctx context.Context, worked time.Duration, n int) {
	if c.o.Share >= 1 || c.o.LastRequest != nil && time.Since(c.o.LastRequest()) > worked+quiet {
		return
	}
	timer := time.NewTimer(min(time.Duration(float64(worked)*(1/c.o.Share-1)), time.Duration(n)*longestRest))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// release gives up the copies and texts of a blob, unless an upload has brought it back
// under a higher generation: then they are that one's.
func (c *Collector) release(ctx context.Context, o Object) error {
	_, err := c.o.Index.Blob(ctx, o.Digest)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, cas.ErrBlobNotFound):
		return err
	}
	if o.HasCopies && c.o.Copies != nil {
		if err := c.o.Copies.DeleteCopies(ctx, o.Digest); err != nil {
			return fmt.Errorf("mark the copies of %s: %w", o.Digest.Short(), err)
		}
	}
	if o.HasTexts && c.o.Texts != nil {
		if _, err := c.o.Texts.Condemn(ctx, o.Digest); err != nil {
			return fmt.Errorf("condemn the texts of %s: %w", o.Digest.Short(), err)
		}
	}
	return nil
}

// count adds the outcome for one blob.
func (w *work) count(r Result) {
	w.mu.Lock()
	if r.Err == nil {
		w.run.Blobs++
		w.run.Bytes += r.Size
		w.c.stats.blobs.Add(1)
		w.c.stats.bytes.Add(r.Size)
	} else {
		w.run.Failed++
		w.run.Error = r.Err.Error()
		w.c.stats.failed.Add(1)
	}
	w.mu.Unlock()
	w.c.o.Notify(r)
}

// end stores the last state, and gives the lease back. If that fails the lease runs out.
func (w *work) end(ctx context.Context, err error) (Run, error) {
	w.mu.Lock()
	w.run.EndedAt = time.Now().UTC()
	if err != nil {
		w.run.Error = err.Error()
	}
	w.mu.Unlock()
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if _, saveErr := w.c.o.Index.SaveRun(call, w.state(), 0); err == nil {
		err = saveErr
	}
	return w.state(), err
}

// stats are figures since the start of the process.
type stats struct {
	blobs, bytes, failed, due atomic.Int64
	stopped                   atomic.Bool
	lastSuccess               atomic.Int64 // seconds since 1970; 0: none
}

// ended records the end of a collection.
func (s *stats) ended(err error) {
	_, stopped := errors.AsType[*BrakeError](err)
	switch {
	case stopped:
		s.stopped.Store(true)
	case err == nil:
		s.stopped.Store(false)
		s.lastSuccess.Store(time.Now().Unix())
	}
}

// Stats are the figures of a collector for metrics.
type Stats struct {
	Blobs, Bytes, Failed int64 // since the start of the process
	Due                  int64 // at the start of the last collection
	Stopped              bool  // the brake stopped the last collection
	LastSuccess          int64 // when the last collection ended, in seconds since 1970
}

// Stats returns the collector's figures.
func (c *Collector) Stats() Stats {
	return Stats{
		Blobs: c.stats.blobs.Load(), Bytes: c.stats.bytes.Load(), Failed: c.stats.failed.Load(), Due: c.stats.due.Load(),
		Stopped: c.stats.stopped.Load(), LastSuccess: c.stats.lastSuccess.Load(),
	}
}
