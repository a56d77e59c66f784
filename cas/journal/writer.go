package journal

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// The defaults of WriterOptions.
const (
	DefaultQueue  = 20_000
	DefaultRetain = 30 * 24 * time.Hour
	DefaultGather = time.Minute
)

// recordSize is about the most bytes that a usual record takes in an index, with its part
// of the table's indexes. Postgres takes 400 to 500 bytes, and SQLite 250 to 350.
const recordSize = 500

// LongestGather is more than the time from the first operation of a record to its last one.
const LongestGather = time.Hour

const (
	// batchSize is the number of records in one write. It limits the time for which other
	// writes wait, if the index has one writer. batchDelay is the time for which the first
	// record of a batch waits for more.
	batchSize  = 256
	batchDelay = 200 * time.Millisecond
	// While records come faster than they are stored, the writer works for 1/workShare of
	// the time, and pauses for at most longestPause between batches, since requests need
	// the processors and the index first. So a burst is stored slowly, and a long overload
	// loses records.
	workShare    = 4
	longestPause = time.Second
	// storeTimeout limits one write of a batch. Between two attempts the writer waits,
	// each time twice as long, from firstRest to lastRest.
	storeTimeout = 15 * time.Second
	firstRest    = 100 * time.Millisecond
	lastRest     = 10 * time.Second
	// shutdownTimeout is the time for which the writer continues after its context is done.
	shutdownTimeout = 10 * time.Second
	// gatherEvery is the interval between looks for gathered records that are due.
	gatherEvery = time.Second
	// pruneEvery is the interval between removals of old records, and pruneBatch the
	// number of records in one removal.
	pruneEvery = 10 * time.Minute
	pruneBatch = 10_000
)

// WriterOptions configures a Writer. Zero values mean the defaults.
type WriterOptions struct {
	// Queue is the number of records that may wait; further records are dropped.
	Queue int
	// Retain is the time for which records are kept; a negative value means for ever.
	Retain time.Duration
	// MaxSize is about the most bytes that all records take in the index; 0 means no limit.
	MaxSize int64
	// Gather is the time in which operations on the same blob by the same actor share a
	// record, if they change nothing. A negative value gives each its own.
	Gather time.Duration
	// KeepAll leaves the removal of old records to other writers.
	KeepAll bool
	Log     zerolog.Logger
}

// Writer stores records without blocking its callers. It is safe for concurrent use.
type Writer struct {
	store    Store
	queue    chan Record
	gatherer *gatherer
	o        WriterOptions
	log      zerolog.Logger
	stored   atomic.Uint64
	gathered atomic.Uint64
	lost     atomic.Uint64
	logged   uint64 // the value of lost in the last log entry
}

// NewWriter returns a Writer. Run stores the records that Add accepts.
func NewWriter(store Store, o WriterOptions) *Writer {
	o.Queue, o.Retain, o.Gather = cmp.Or(o.Queue, DefaultQueue), cmp.Or(o.Retain, DefaultRetain), min(cmp.Or(o.Gather, DefaultGather), LongestGather/2)
	return &Writer{store: store, queue: make(chan Record, o.Queue), gatherer: newGatherer(o.Gather), o: o, log: o.Log}
}

// Add queues a record, or adds it to one that is gathered. It never blocks: if the queue is
// full, Add drops the record and counts it, unless it can be gathered.
func (w *Writer) Add(r Record) {
	isGathered := w.gatherer.gathers(&r)
	if isGathered && w.gatherer.add(&r) {
		return
	}
	select {
	case w.queue <- r:
	default:
		if isGathered {
			w.gatherer.addAnyway(&r)
			return
		}
		w.lost.Add(1)
	}
}

// AddNow stores a record, and returns when it is stored.
func (w *Writer) AddNow(ctx context.Context, r Record) error { return w.append(ctx, []Record{r}) }

// Stored returns the number of records that were stored since NewWriter.
func (w *Writer) Stored() uint64 { return w.stored.Load() }

// Gathered returns the number of operations since NewWriter that were stored in the record
// of an earlier one.
func (w *Writer) Gathered() uint64 { return w.gathered.Load() }

// Lost returns the number of operations since NewWriter whose records were dropped.
func (w *Writer) Lost() uint64 { return w.lost.Load() }

// Queued returns the number of records that wait to be stored.
func (w *Writer) Queued() int { return len(w.queue) }

// Gathering returns the number of records that wait for the end of their minute.
func (w *Writer) Gathering() int { return w.gatherer.len() }

// Run stores records and removes old ones until ctx is done. It then stores the queued
// records, for at most some seconds, counts the others as lost, and returns ctx's
// error.
func (w *Writer) Run(ctx context.Context) error {
	prune, gather := time.NewTicker(pruneEvery), time.NewTicker(gatherEvery)
	defer prune.Stop()
	defer gather.Stop()
	w.prune(ctx)
	for {
		select {
		case <-ctx.Done():
			w.finish(ctx)
			return ctx.Err()
		case <-prune.C:
			w.prune(ctx)
		case <-gather.C:
			for batch := w.due(); len(batch) > 0; batch = w.due() {
				w.storeBatch(ctx, batch)
			}
		case first := <-w.queue:
			w.storeBatch(ctx, w.gather(ctx, first))
		}
	}
}

// due returns a batch with gathered records that are due, and queued ones. It is empty if
// no gathered record is due.
func (w *Writer) due() []Record {
	batch := w.gatherer.due(time.Now(), batchSize/2)
	for len(batch) > 0 && len(batch) < batchSize && len(w.queue) > 0 {
		batch = append(batch, <-w.queue)
	}
	return batch
}

// storeBatch stores a batch, and pauses.
func (w *Writer) storeBatch(ctx context.Context, batch []Record) {
	began := time.Now()
	w.put(ctx, batch)
	w.pause(ctx, (workShare-1)*time.Since(began))
}

// pause waits after a batch.
func (w *Writer) pause(ctx context.Context, rest time.Duration) {
	select {
	case <-time.After(min(rest, longestPause)):
	case <-ctx.Done():
	}
}

// gather returns a batch that starts with first.
func (w *Writer) gather(ctx context.Context, first Record) []Record {
	batch := append(make([]Record, 0, batchSize), first)
	timer := time.NewTimer(batchDelay)
	defer timer.Stop()
	for len(batch) < batchSize {
		select {
		case r := <-w.queue:
			batch = append(batch, r)
		case <-timer.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// put stores a batch, and tries again while the store fails. Meanwhile the queue fills.
// A batch may be stored twice if the store applied it without acknowledging it.
func (w *Writer) put(ctx context.Context, batch []Record) {
	for rest := firstRest; ; rest = min(2*rest, lastRest) {
		err := w.append(context.WithoutCancel(ctx), batch)
		if err == nil {
			break
		}
		w.log.Warn().Err(err).Int("records", len(batch)).Int("waiting", len(w.queue)).Msg("could not store the journal; trying again")
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			w.last(ctx, batch)
			return
		}
	}
	if lost := w.lost.Load(); lost != w.logged {
		w.log.Error().Uint64("records", lost-w.logged).Uint64("in_all", lost).Msg("the journal could not keep up: operations went unrecorded")
		w.logged = lost
	}
}

func (w *Writer) append(ctx context.Context, batch []Record) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := w.store.AppendRecords(ctx, batch)
	if err == nil {
		w.stored.Add(uint64(len(batch)))
		w.gathered.Add(operations(batch) - uint64(len(batch)))
	}
	return err
}

// operations returns the number of operations of records.
func operations(records []Record) (n uint64) {
	for _, r := range records {
		n += r.operations()
	}
	return n
}

// last tries once to store a batch.
func (w *Writer) last(ctx context.Context, batch []Record) {
	if err := w.append(context.WithoutCancel(ctx), batch); err != nil {
		w.lost.Add(operations(batch))
		w.log.Error().Err(err).Int("records", len(batch)).Msg("stopping: operations went unrecorded")
	}
}

// finish stores the remaining records of the queue, and those that were gathered.
func (w *Writer) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	for {
		var batch []Record
		for len(batch) < batchSize && len(w.queue) > 0 {
			batch = append(batch, <-w.queue)
		}
		batch = append(batch, w.gatherer.all(batchSize-len(batch))...)
		if len(batch) == 0 {
			return
		}
		if ctx.Err() != nil {
			w.lost.Add(operations(batch))
			continue
		}
		w.last(ctx, batch)
	}
}

// prune removes old records.
func (w *Writer) prune(ctx context.Context) {
	if w.o.KeepAll {
		return
	}
	isLogged := false
	for ctx.Err() == nil {
		p := Prune{Limit: pruneBatch}
		if w.o.MaxSize > 0 {
			p.Keep = max(w.o.MaxSize/recordSize, 1)
		}
		if w.o.Retain > 0 {
			p.Before = time.Now().Add(-w.o.Retain)
		}
		n, err := w.store.PruneRecords(ctx, p)
		if ctx.Err() != nil {
			return // the gateway stops: nothing is wrong, and its next start goes on
		}
		if err != nil && !isLogged {
			isLogged = true
			w.log.Warn().Err(err).Msg("could not remove old records of the journal; trying again later")
		}
		// Records may have gone in spite of an error, such as of a role without some right.
		if n < pruneBatch {
			return
		}
	}
}
