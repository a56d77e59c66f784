package replicator_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// indexDown is a blob store whose index doesn't answer the next calls.
type indexDown struct {
	replicator.BlobStore
	confirms, blobs atomic.Int32 // how many calls fail
}

func (s *indexDown) Confirm(ctx context.Context, d cas.Digest) error {
	if s.confirms.Add(-1) >= 0 {
		return fmt.Errorf("confirm: %w", cas.ErrIndexUnavailable)
	}
	return s.BlobStore.Confirm(ctx, d)
}

func (s *indexDown) Blob(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	if s.blobs.Add(-1) >= 0 {
		return cas.Blob{}, fmt.Errorf("blob: %w", cas.ErrIndexUnavailable)
	}
	return s.BlobStore.Blob(ctx, d)
}

// An index that is down before the upload leaves no remote file, so the next attempt
// doesn't search the provider's list for one.
func TestIndexDownBeforeUpload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	blobs := &indexDown{BlobStore: w.store}
	r := w.replicator(t, func(o *replicator.Options) { o.Blobs = blobs })
	d := w.put(t, "some text", "a.txt")
	blobs.confirms.Store(1)
	c := ensure(t, r, want(d))
	if n := w.depot.count(providers.OpList); n != 0 {
		t.Errorf("the provider's files were listed %d times, though nothing was sent before", n)
	}
	if len(c.Strays) > 0 || w.depot.count(providers.OpUpload) != 1 {
		t.Errorf("%d uploads; the strays are %v", w.depot.count(providers.OpUpload), c.Strays)
	}
}

// The queue doesn't give up a copy because the index was down for a moment.
func TestIndexDownInQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	blobs := &indexDown{BlobStore: w.store}
	r := w.replicator(t, func(o *replicator.Options) { o.Blobs = blobs })
	c, err := r.Begin(t.Context(), want(w.put(t, "some text", "a.txt")))
	if err != nil {
		t.Fatal(err)
	}
	blobs.blobs.Store(2)
	run(t, r)
	eventually(t, "the copy is ready", func() bool { return w.row(t, c.Key).State == ledger.StateReady })
}
