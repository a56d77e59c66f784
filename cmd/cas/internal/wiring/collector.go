package wiring

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/collector"
	"casgate/cas/journal"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/providers/replicator"
)

// OpenCollector makes the collector that the settings describe. It starts nothing.
func OpenCollector(c settings.Collection, o collector.Options, registry prometheus.Registerer) (*collector.Collector, error) {
	if c.GCMaxShare > 100 {
		return nil, exit.Usagef("a share of %g %% is more than 100 (CAS_GC_MAX_SHARE)", c.GCMaxShare)
	}
	o.Grace, o.Rate = c.GCGrace, c.GCRate
	o.Brake = collector.Brake{MaxShare: c.GCMaxShare / 100, MaxBlobs: c.GCMaxBlobs}
	all := collector.New(o)
	registerCollectorMetrics(registry, all)
	return all, nil
}

func registerCollectorMetrics(registry prometheus.Registerer, c *collector.Collector) {
	counter := func(name, help string, value func(collector.Stats) float64) {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return value(c.Stats()) }))
	}
	gauge := func(name, help string, value func(collector.Stats) float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return value(c.Stats()) }))
	}
	counter("casgate_collector_blobs_total", "Deleted blobs whose bytes this process removed.",
		func(s collector.Stats) float64 { return float64(s.Blobs) })
	counter("casgate_collector_bytes_total", "Bytes of deleted blobs that this process removed.",
		func(s collector.Stats) float64 { return float64(s.Bytes) })
	counter("casgate_collector_failures_total", "Failed attempts to remove the bytes of a deleted blob.",
		func(s collector.Stats) float64 { return float64(s.Failed) })
	gauge("casgate_collector_due_blobs", "Deleted blobs past their grace period when this process looked last.",
		func(s collector.Stats) float64 { return float64(s.Due) })
	gauge("casgate_collector_stopped", "1 if the last collection would have removed more than its limits allow, and so removed nothing.",
		func(s collector.Stats) float64 {
			if s.Stopped {
				return 1
			}
			return 0
		})
	gauge("casgate_collector_last_success_timestamp_seconds", "When this process last ended a collection, or found nothing to collect.",
		func(s collector.Stats) float64 { return float64(s.LastSuccess) })
}

// copiesWait is how long the collector waits for providers to confirm the deletes of a
// blob's copies. The replicator continues them anyway; the wait only limits how many
// are in progress.
const copiesWait = 10 * time.Second

// CollectedCopies deletes the copies of collected blobs.
type CollectedCopies struct {
	Replicator *replicator.Replicator
	Actor      string // of the records in the journal
}

// DeleteCopies implements collector.Copies.
func (c CollectedCopies) DeleteCopies(ctx context.Context, d cas.Digest) error {
	request := replicator.Request{Digest: d, OperationID: uuid.Must(uuid.NewV7()).String(), Actor: c.Actor}
	removal, err := c.Replicator.RemoveAll(ctx, request, func() error { return nil })
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, copiesWait)
	defer cancel()
	removal.Wait(wait)
	return nil
}

// RecordCollected returns a function that records the blobs that a gateway collects. A
// nil writer records nothing.
func RecordCollected(w *journal.Writer) func(collector.Result) {
	if w == nil {
		return nil
	}
	return func(r collector.Result) {
		record := collectRecord(r)
		record.Actor = journal.ActorGateway
		w.Add(endedNow(record, r.Began, r.Err))
	}
}

// RecordCollected records a blob that a command collects.
func (j *CommandJournal) RecordCollected(r collector.Result) { j.Add(collectRecord(r), r.Began, r.Err) }

func collectRecord(r collector.Result) journal.Record {
	record := journal.Record{Kind: journal.KindCollect, Digest: r.Digest}
	if r.Err == nil {
		record.Bytes = r.Size
	}
	return record
}

// OpenRetention makes the retention that the settings describe. It starts nothing.
func OpenRetention(c settings.Retention, o collector.RetentionOptions, registry prometheus.Registerer) *collector.Retention {
	o.Idle = c.RetainUnreferenced
	r := collector.NewRetention(o)
	registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "casgate_retention_blobs_total",
		Help: "Blobs that this process deleted, since nothing referred to them.",
	}, func() float64 { return float64(r.Condemned()) }))
	return r
}

// Unreferenced handles the blobs that a retention has condemned.
type Unreferenced struct {
	Forget  func(d cas.Digest) // removes a blob from the cache of the index
	Journal *journal.Writer    // nil: nothing is recorded
}

// Condemned makes the gateway forget the blob, and records the delete.
func (u Unreferenced) Condemned(d cas.Digest) {
	u.Forget(d)
	if u.Journal != nil {
		u.Journal.Add(endedNow(journal.Record{Kind: journal.KindDelete, Actor: journal.ActorGateway, Digest: d}, time.Now(), nil))
	}
}

// ExpiredBlobs deletes what belongs to blobs that were condemned with an expired file.
type ExpiredBlobs struct {
	Copies CollectedCopies
	Texts  cas.Texts
	Log    zerolog.Logger
}

// Condemned deletes the copies and the texts of a file's blob. If that fails, the
// collector does it when it removes the blob.
func (e ExpiredBlobs) Condemned(ctx context.Context, f cas.File) {
	err := e.Copies.DeleteCopies(ctx, f.Digest)
	if err == nil {
		_, err = e.Texts.Condemn(ctx, f.Digest)
	}
	if err != nil && ctx.Err() == nil {
		e.Log.Warn().Err(err).Str("file", f.ID).Stringer("digest", f.Digest).
			Msg("could not delete the copies and texts of an expired file yet; the collector does it")
	}
}
