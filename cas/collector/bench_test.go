package collector_test

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/collector"
)

// BenchmarkCollect collects b.N condemned blobs while clients read other blobs, and
// compares the rate of the reads with that of an undisturbed time:
//
//	go test ./cas/collector -run '^$' -bench Collect -benchtime 100000x -timeout 2h
func BenchmarkCollect(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *world{"embedded": embedded, "served": served} {
		b.Run(name, func(b *testing.B) {
			w := open(b)
			condemnMany(b, w, b.N)
			var kept []cas.Blob
			for i := range 16 {
				content := fmt.Appendf(nil, "kept %d", i)
				w.put(content)
				kept = append(kept, w.wantBlob(content))
			}
			c := w.collector(func(o *collector.Options) { o.Lease, o.Batches, o.Share = time.Minute, w.batches, w.share })
			reads, stop := readMany(b, w, kept)
			quiet := rateOf(reads, func() { time.Sleep(2 * time.Second) })
			b.ResetTimer()
			busy := rateOf(reads, func() {
				run, err := c.Collect(b.Context())
				if err != nil || run.Blobs != int64(b.N) {
					b.Errorf("the collection is %+v, error %v", run, err)
				}
			})
			b.StopTimer()
			stop()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "blobs/s")
			b.ReportMetric(quiet, "reads/s-undisturbed")
			b.ReportMetric(busy/quiet, "reads-ratio")
		})
	}
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

// rateOf returns the reads per second while f runs.
func rateOf(reads *atomic.Int64, f func()) float64 {
	before, began := reads.Load(), time.Now()
	f()
	return float64(reads.Load()-before) / time.Since(began).Seconds()
}
