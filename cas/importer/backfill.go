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

// FileTaker is the part of cas.Files that a backfill needs.
type FileTaker interface {
	ListFiles(ctx context.Context, q cas.FileQuery) ([]cas.File, error)
	TakeIn(ctx context.Context, f cas.File) (taken cas.File, stored bool, err error)
}

// BackfillOptions configures a Backfill. The zero value of each field but Files is a
// sensible default.
type BackfillOptions struct {
	Files FileTaker
	// Sources are the names of the sources that Files has. Files of other sources are put
	// off.
	Sources []string
	// BatchSize is the number of files in one listing; 0 means 500.
	BatchSize int
	// Concurrency is the number of files that are taken in at the same time; 0 means 16.
	Concurrency int
	// ObjectsPerSecond limits the number of files that are started per second; 0 means no
	// limit. Throttle limits the bytes.
	ObjectsPerSecond float64
	// Pending selects the files to try.
	Pending Pending
	// Patience is the time for which a file waits for an unavailable server before it is
	// put off; 0 means 30 s.
	Patience time.Duration
	// Notify is called with the result for each file, by one goroutine at a time.
	// Optional.
	Notify func(Event)
}

// The defaults of BackfillOptions.
const (
	defaultBatch       = 500
	defaultConcurrency = 16
)

// Event is the result for one file.
type Event struct {
	File cas.File
	// Start is the time when the attempt began.
	Start time.Time
	// Bytes is the number of bytes read. Stored reports whether they were new to the
	// store; otherwise they are a duplicate.
	Bytes  int64
	Stored bool
	// Err says why the file could not be taken in. PutOff: the next run tries it again.
	Err    error
	PutOff bool
	// Gone: the file was deleted meanwhile.
	Gone bool
}

// Problem returns the event as it is reported. The event must have an Err.
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
	Duplicates int64 `json:"duplicates"` // of those, files whose bytes the store had
	Bytes      int64 `json:"bytes"`      // of all those taken
	Failed     int64 `json:"failed"`     // as reported
	PutOff     int64 `json:"put_off"`    // as reported; the next run tries them again
	Gone       int64 `json:"gone"`       // were deleted meanwhile
	// FailedBefore counts files that were not tried, since they failed in an earlier run.
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

// stopAfter is the number of files in a row that may be put off because a server is
// unavailable. The backfill then stops, since the files are not the cause.
const stopAfter = 3

// Backfill takes in the bytes of all pending files, the oldest first. It may be killed
// at any moment and started again, and two may run at the same time. When ctx is done,
// it starts no more files, finishes the files in progress, and returns ctx's error.
//
// A file that can't be taken in does not stop the others. Backfill returns an error
// only if it had to stop early, since all files would fail with it: cas.ErrNoSpace or
// cas.ErrSpoolUnusable, or cas.ErrIndexUnavailable, cas.ErrStoreUnavailable or cas.ErrOriginUnavailable for
// longer than Patience. The remaining files stay as they were.
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

// backfill is the state of one Backfill.
type backfill struct {
	BackfillOptions
	sources map[string]bool
	// stop ends the listing of files, with a reason.
	stop context.CancelCauseFunc

	mu     sync.Mutex
	counts BackfillCounts
	inARow int // files that were put off since the last one that wasn't
}

// list sends pending files to the workers, page by page. It reads the next page while
// the workers process one.
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
			if !b.Pending.has(file) {
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

// take takes a file in and reports the result. When ctx is done, it finishes the
// attempt but does not repeat it.
func (b *backfill) take(ctx context.Context, file cas.File) {
	event := Event{File: file, Start: time.Now()}
	if !b.sources[file.Origin.Source] {
		event.PutOff = true
		event.Err = fmt.Errorf("%w: it is in %s, which isn't configured", cas.ErrOriginUnavailable, file.Origin.Source)
		b.report(event)
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
		return // the next run tries it again
	case isTransient(err):
		event.Err, event.PutOff = err, true
		b.putOff(err)
	case errors.Is(err, cas.ErrNoSpace), errors.Is(err, cas.ErrSpoolUnusable):
		b.stop(err)
		return
	default:
		event.Err = err
	}
	b.report(event)
}

// putOff counts a file for which a server was unavailable.
func (b *backfill) putOff(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inARow++; b.inARow == stopAfter {
		b.stop(err)
	}
}

func (b *backfill) report(e Event) {
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
