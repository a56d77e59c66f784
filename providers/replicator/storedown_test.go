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

// storeDown is a blob store whose object store doesn't answer while down is set.
type storeDown struct {
	replicator.BlobStore
	down atomic.Bool
}

func (s *storeDown) OpenVerified(ctx context.Context, b cas.Blob) (*cas.Content, error) {
	if s.down.Load() {
		return nil, fmt.Errorf("open: %w", cas.ErrStoreUnavailable)
	}
	return s.BlobStore.OpenVerified(ctx, b)
}

// The queue doesn't give up a copy because the gateway's own store was down.
func TestStoreDownInQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	blobs := &storeDown{BlobStore: w.store}
	r := w.replicator(t, func(o *replicator.Options) { o.Blobs, o.MaxAttempts = blobs, 1 })
	blobs.down.Store(true)
	c, err := r.Begin(t.Context(), want(w.put(t, "some text", "a.txt")))
	if err != nil {
		t.Fatal(err)
	}
	run(t, r)
	eventually(t, "an attempt has failed", func() bool { return w.row(t, c.Key).Error != nil })
	failed := w.row(t, c.Key)
	if failed.State != ledger.StatePending || failed.Error.Code != providers.CodeStoreUnavailable || failed.Error.Kind != providers.KindTransient {
		t.Errorf("the copy is %s with error %+v", failed.State, failed.Error)
	}
	blobs.down.Store(false)
	eventually(t, "the copy is ready", func() bool { return w.row(t, c.Key).State == ledger.StateReady })
}
