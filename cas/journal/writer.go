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
)

const (
	// batchSize is how many records are stored at a time, which is how long others may
	// have to wait for an index with one writer; and batchDelay how long the first of
	// them waits for others.
	batchSize  = 250
	batchDelay = 200 * time.Millisecond
	// While records come in faster than they are stored, the writer works one part of
	// the time in so many, and no longer than longestPause rests in between: processors
	// and index are there for the requests first. So a burst takes its time to be
	// stored, and of what goes on for long more than that is lost.
	workShare    = 4
	longestPause = time.Second
	// storeTimeout bounds the storing of a batch; between two attempts at the same one
	// the writer rests, twice as long each time.
	storeTimeout = 15 * time.Second
	firstRest    = 100 * time.Millisecond
	lastRest     = 10 * time.Second
	// lastStand is how long the writer goes on after its context ended.
	lastStand = 10 * time.Second
	// pruneEvery is how often records that are too old are removed, pruneBatch how many
	// at a time.
	pruneEvery = 10 * time.Minute
	pruneBatch = 10_000
)

// WriterOptions configures a Writer. Zero values mean the defaults.
type WriterOptions struct {
	// Queue is how many records may wait to be stored; more are dropped.
	Queue int
	// Retain is how long records are kept; negative: for ever.
	Retain time.Duration
	Log    zerolog.Logger
}

// Writer stores records off the path of whoever makes them. It is safe for
// concurrent use.
type Writer struct {
	store  Store
	queue  chan Record
	retain time.Duration
	log    zerolog.Logger
	stored atomic.Uint64
	lost   atomic.Uint64
	told   uint64 // of lost, in the log
}

// NewWriter makes a Writer, whose Run stores what Add takes.
func NewWriter(store Store, o WriterOptions) *Writer {
	return &Writer{
		store: store, queue: make(chan Record, cmp.Or(o.Queue, DefaultQueue)),
		retain: cmp.Or(o.Retain, DefaultRetain), log: o.Log,
	}
}

// Add takes a record. It never waits: where the queue is full the record is
// dropped, and counted.
func (w *Writer) Add(r Record) {
	select {
	case w.queue <- r:
	default:
		w.lost.Add(1)
	}
}

// Stored returns how many records were stored, and Lost how many were dropped,
// since the writer was made.
func (w *Writer) Stored() uint64 { return w.stored.Load() }

// Lost is described at Stored.
func (w *Writer) Lost() uint64 { return w.lost.Load() }

// Queued returns how many records wait to be stored.
func (w *Writer) Queued() int { return len(w.queue) }

// Run stores records, and removes those that are too old, until ctx is done. It
// then stores what is left, for some seconds at most, counts the rest as lost, and
// returns ctx's error.
func (w *Writer) Run(ctx context.Context) error {
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	w.prune(ctx)
	for {
		select {
		case <-ctx.Done():
			w.finish(ctx)
			return ctx.Err()
		case <-prune.C:
			w.prune(ctx)
		case first := <-w.queue:
			batch := w.gather(ctx, first)
			began := time.Now()
			w.put(ctx, batch)
			w.pause(ctx, (workShare-1)*time.Since(began))
		}
	}
}

// pause rests after work.
func (w *Writer) pause(ctx context.Context, rest time.Duration) {
	select {
	case <-time.After(min(rest, longestPause)):
	case <-ctx.Done():
	}
}

// gather returns a batch that begins with a record.
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

// put stores a batch. While the store fails it tries again; the queue takes what
// comes meanwhile, as far as it goes. A batch may come to be stored twice, where a
// store was done and not acknowledged.
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
	if lost := w.lost.Load(); lost != w.told {
		w.log.Error().Uint64("records", lost-w.told).Uint64("in_all", lost).Msg("the journal could not keep up: operations went unrecorded")
		w.told = lost
	}
}

func (w *Writer) append(ctx context.Context, batch []Record) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := w.store.AppendRecords(ctx, batch)
	if err == nil {
		w.stored.Add(uint64(len(batch)))
	}
	return err
}

// last stores a batch when there is no time for more than one attempt.
func (w *Writer) last(ctx context.Context, batch []Record) {
	if err := w.append(context.WithoutCancel(ctx), batch); err != nil {
		w.lost.Add(uint64(len(batch)))
		w.log.Error().Err(err).Int("records", len(batch)).Msg("stopping: operations went unrecorded")
	}
}

// finish stores what is left in the queue.
func (w *Writer) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastStand)
	defer cancel()
	for {
		var batch []Record
		for len(batch) < batchSize && len(w.queue) > 0 {
			batch = append(batch, <-w.queue)
		}
		if len(batch) == 0 {
			return
		}
		if ctx.Err() != nil {
			w.lost.Add(uint64(len(batch)))
			continue
		}
		w.last(ctx, batch)
	}
}

// prune removes records that are too old.
func (w *Writer) prune(ctx context.Context) {
	if w.retain < 0 {
		return
	}
	for ctx.Err() == nil {
		n, err := w.store.PruneRecords(ctx, time.Now().Add(-w.retain), pruneBatch)
		if err != nil {
			w.log.Warn().Err(err).Msg("could not remove old records of the journal; trying again later")
			return
		}
		if n < pruneBatch {
			return
		}
	}
}
