package collector_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/collector"
)

// quietWindow is the undisturbed time after each batch of BenchmarkCollect.
const quietWindow = 500 * time.Millisecond

// BenchmarkCollect collects b.N condemned blobs while clients read other blobs, and
// compares the rate of the reads with that of undisturbed times. These are between the
// batches, so that other programs' load on the machine counts on both sides. Then it
// collects as many without clients:
//
//	go test ./cas/collector -run '^$' -bench Collect -benchtime 5000x -timeout 2h
func BenchmarkCollect(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *world{"embedded": embedded, "served": served} {
		b.Run(name+"/beside-reads", func(b *testing.B) { collectBesideReads(b, open(b)) })
		b.Run(name+"/no-clients", func(b *testing.B) {
			w := open(b)
			condemnMany(b, w, b.N)
			c, rows := w.serving(func() time.Time { return time.Time{} }, nil)
			b.ResetTimer()
			collectAll(b, c)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "blobs/s")
			rows.report(b)
		})
	}
}

// serving makes the collector of a gateway, which measures its changes of rows.
func (w *world) serving(lastRequest func() time.Time, progress func(collector.Run)) (*collector.Collector, *rowTimes) {
	rows := &rowTimes{Index: w.index}
	c := w.collector(func(o *collector.Options) {
		o.Index = rows
		o.Lease, o.Batches, o.Share, o.LastRequest, o.Progress = time.Minute, w.batches, collector.ServingShare, lastRequest, progress
	})
	return c, rows
}

// collectAll collects the b.N blobs of a benchmark.
func collectAll(b *testing.B, c *collector.Collector) {
	run, err := c.Collect(b.Context())
	if err != nil || run.Blobs != int64(b.N) {
		b.Errorf("the collection is %+v, error %v", run, err)
	}
}

func collectBesideReads(b *testing.B, w *world) {
	condemnMany(b, w, b.N)
	var kept []cas.Blob
	for i := range 16 {
		content := fmt.Appendf(nil, "kept %d", i)
		w.put(content)
		kept = append(kept, w.wantBlob(content))
	}
	reads, stop := readMany(b, w, kept)
	var quiet, all meter
	c, rows := w.serving(time.Now, func(collector.Run) {
		b.StopTimer()
		quiet.measure(reads, func() { time.Sleep(quietWindow) })
		b.StartTimer()
	})
	b.ResetTimer()
	all.measure(reads, func() { collectAll(b, c) })
	b.StopTimer()
	stop()
	busy := meter{reads: all.reads - quiet.reads, took: all.took - quiet.took}
	b.ReportMetric(float64(b.N)/busy.took.Seconds(), "blobs/s")
	b.ReportMetric(quiet.rate(), "reads/s-undisturbed")
	b.ReportMetric(busy.rate()/quiet.rate(), "reads-ratio")
	rows.report(b)
}

// rowTimes are the times of changes of a batch's rows. Each of them is one transaction, the
// only one that holds locks.
type rowTimes struct {
	collector.Index
	count        int
	sum, longest time.Duration
}

func (r *rowTimes) add(began time.Time) {
	took := time.Since(began)
	r.count, r.sum, r.longest = r.count+1, r.sum+took, max(r.longest, took)
}

func (r *rowTimes) StartDeleting(ctx context.Context, b collector.Batch) ([]collector.Object, error) {
	defer r.add(time.Now())
	return r.Index.StartDeleting(ctx, b)
}

func (r *rowTimes) FinishDeleting(ctx context.Context, refs ...cas.ObjectRef) error {
	defer r.add(time.Now())
	return r.Index.FinishDeleting(ctx, refs...)
}

func (r *rowTimes) report(b *testing.B) {
	b.ReportMetric(float64((r.sum/time.Duration(max(r.count, 1))).Microseconds())/1000, "ms/rows")
	b.ReportMetric(float64(r.longest.Microseconds())/1000, "ms/rows-longest")
}

// condemnMany stores and deletes n blobs.
func condemnMany(b *testing.B, w *world, n int) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				w.remove(w.put(fmt.Appendf(nil, "blob %d", i)))
			}
		})
	}
	workers.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// readMany reads blobs from several clients until stop is called.
func readMany(b *testing.B, w *world, blobs []cas.Blob) (reads *atomic.Int64, stop func()) {
	reads = new(atomic.Int64)
	var done atomic.Bool
	var readers sync.WaitGroup
	for r := range 4 {
		readers.Go(func() {
			for i := r; !done.Load(); i++ {
				content, err := w.store.Open(b.Context(), blobs[i%len(blobs)], 0, -1)
				if err == nil {
					_, err = io.Copy(io.Discard, content.Body)
					content.Close()
				}
				if err != nil {
					b.Errorf("read: %v", err)
					return
				}
				reads.Add(1)
			}
		})
	}
	return reads, func() { done.Store(true); readers.Wait() }
}

// meter counts reads, and the time that they took.
type meter struct {
	reads int64
	took  time.Duration
}

// measure adds the reads while f runs.
func (m *meter) measure(reads *atomic.Int64, f func()) {
	before, began := reads.Load(), time.Now()
	f()
	m.reads += reads.Load() - before
	m.took += time.Since(began)
}

// rate returns the reads per second.
func (m *meter) rate() float64 { return float64(m.reads) / m.took.Seconds() }
