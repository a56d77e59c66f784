package importer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"casgate/cas"
)

// FileTaker is what a backfill needs of cas.Files.
type FileTaker interface {
	ListFiles(ctx context.Context, q cas.FileQuery) ([]cas.File, error)
	TakeIn(ctx context.Context, f cas.File) (taken cas.File, stored bool, err error)
}

// BackfillOptions configures a Backfill. The zero value of each field but Files has
// a sensible meaning.
type BackfillOptions struct {
	Files FileTaker
	// Sources are the names of the sources that Files has; files that lie elsewhere are
	// put off.
	Sources []string
	// BatchSize is how many files are listed at a time; 0 means 500.
	BatchSize int
	// Concurrency is how many files are taken in at once; 0 means 16.
	Concurrency int
	// ObjectsPerSecond bounds how many files are begun a second; 0: as fast as it goes.
	// Throttle bounds the bytes.
	ObjectsPerSecond float64
	// RetryFailed: take those up as well that failed before.
	RetryFailed bool
	// Patience is how long a server may be unavailable for a file before it is put
	// off; 0 means 30 s.
	Patience time.Duration
	// Notify is told what became of each file, by one goroutine at a time. Nil: nobody
	// is.
	Notify func(Event)
}

// The defaults of BackfillOptions.
const (
	defaultBatch       = 500
	defaultConcurrency = 16
)

// Event is what became of a file.
type Event struct {
	File cas.File
	// Start is when its turn came.
	Start time.Time
	// Bytes were read; Stored: they were new to the store, and else a duplicate of what
	// it had.
	Bytes  int64
	Stored bool
	// Err is why the file could not be taken in; PutOff: it may be next time.
	Err    error
	PutOff bool
	// Gone: the file was deleted meanwhile.
	Gone bool
}

// Problem returns the event as it is reported, which takes an Err.
func (e Event) Problem() Problem {
	p := Problem{Row: OldID(e.File), FileID: e.File.ID, Outcome: Failed, Reason: e.Err.Error()}
	if e.File.Origin != nil {
		p.Key = e.File.Origin.Key
	}
	if e.PutOff {
		p.Outcome = PutOff
	}
	return p
}

// BackfillCounts counts the files of a backfill.
type BackfillCounts struct {
	Taken      int64 `json:"taken"`      // have their bytes now
	Duplicates int64 `json:"duplicates"` // of those, the ones whose bytes were there already
	Bytes      int64 `json:"bytes"`      // of all those taken
	Failed     int64 `json:"failed"`     // as reported
	PutOff     int64 `json:"put_off"`    // as reported; the next run tries again
	Gone       int64 `json:"gone"`       // were deleted before their turn
	// FailedBefore were left alone since they failed in an earlier run.
	FailedBefore int64 `json:"failed_before"`
}

// add counts an event.
func (c *BackfillCounts) add(e Event) {
	switch {
	case e.Gone:
		c.Gone++
	case e.PutOff:
		c.PutOff++
	case e.Err != nil:
		c.Failed++
	default:
		c.Taken++
		c.Bytes += e.Bytes
		if !e.Stored {
			c.Duplicates++
		}
	}
}

// stopAfter is how many files in a row may find a server unavailable, to the end of
// their patience, before a backfill stops: it is then not their fault.
const stopAfter = 3

// Backfill takes in the bytes of all pending files, oldest first. It may be killed
// at any moment and started again, and run twice at once. When ctx is done it
// begins no more files, finishes those in hand, and returns ctx's error.
//
// A file that can't be taken in doesn't stop the others. What does are errors that
// all of them would end in: cas.ErrNoSpace, and cas.ErrIndexUnavailable,
// cas.ErrStoreUnavailable or cas.ErrOriginUnavailable that last. What is left then
// is as it was.
func Backfill(ctx context.Context, o BackfillOptions) (BackfillCounts, error) {
	b := &backfill{BackfillOptions: o, sources: make(map[string]bool, len(o.Sources))}
	for _, name := range o.Sources {
		b.sources[name] = true
	}
	feed, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	b.stop = stop

	files := make(chan cas.File)
	var workers sync.WaitGroup
	for range cmp.Or(o.Concurrency, defaultConcurrency) {
		workers.Go(func() {
			for file := range files {
				b.take(feed, file)
			}
		})
	}
	err := b.list(feed, files)
	close(files)
	workers.Wait()
	if cause := context.Cause(feed); cause != nil {
		err = cause
	}
	return b.counts, err
}

// backfill is one Backfill under way.
type backfill struct {
	BackfillOptions
	sources map[string]bool
	// stop ends the feeding of files, with the reason.
	stop context.CancelCauseFunc

	mu     sync.Mutex
	counts BackfillCounts
	inARow int // files that were put off since the last one that wasn't
}

// list hands out pending files, page by page, the next page being read while one
// is worked on.
func (b *backfill) list(ctx context.Context, files chan<- cas.File) error {
	limiter := rate.NewLimiter(rate.Inf, 1)
	if b.ObjectsPerSecond > 0 {
		limiter.SetLimit(rate.Limit(b.ObjectsPerSecond))
	}
	pages := make(chan []cas.File)
	var listErr error
	go func() {
		defer close(pages)
		listErr = eachPage(ctx, b.Files, cmp.Or(b.BatchSize, defaultBatch), b.Patience, func(page []cas.File) error {
			select {
			case pages <- page:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}()
	for page := range pages {
		for _, file := range page {
			if file.Origin.Error != "" && !b.RetryFailed {
				b.mu.Lock()
				b.counts.FailedBefore++
				b.mu.Unlock()
				continue
			}
			if limiter.Wait(ctx) != nil {
				break // ctx is done, which ends the pages too
			}
			select {
			case files <- file:
			case <-ctx.Done():
			}
		}
	}
	return listErr
}

// take takes a file in, and tells of it. When ctx is done the file is finished, but
// not tried again.
func (b *backfill) take(ctx context.Context, file cas.File) {
	event := Event{File: file, Start: time.Now()}
	if !b.sources[file.Origin.Source] {
		event.PutOff = true
		event.Err = fmt.Errorf("%w: it lies in %s, which isn't configured", cas.ErrOriginUnavailable, file.Origin.Source)
		b.tell(event)
		return
	}
	type result struct {
		file   cas.File
		stored bool
	}
	var last error
	got, err := patiently(ctx, b.Patience, func() (result, error) {
		taken, stored, err := b.Files.TakeIn(context.WithoutCancel(ctx), file)
		last = err
		return result{taken, stored}, err
	})
	switch {
	case err == nil:
		event.File, event.Stored, event.Bytes = got.file, got.stored, got.file.Size
	case errors.Is(err, cas.ErrFileNotFound):
		event.Gone = true
	case isTransient(last) && ctx.Err() != nil:
		return // it is left for the next run, as all the others are
	case isTransient(err):
		event.Err, event.PutOff = err, true
		b.putOff(err)
	case errors.Is(err, cas.ErrNoSpace):
		b.stop(err)
		return
	default:
		event.Err = err
	}
	b.tell(event)
}

// putOff counts a file that found a server unavailable.
func (b *backfill) putOff(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inARow++; b.inARow == stopAfter {
		b.stop(err)
	}
}

func (b *backfill) tell(e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !e.PutOff {
		b.inARow = 0
	}
	b.counts.add(e)
	if b.Notify != nil {
		b.Notify(e)
	}
}
