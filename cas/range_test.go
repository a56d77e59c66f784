package cas_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
)

// shortRanges is a store that takes the length of a range for that of the object.
type shortRanges struct{ cas.ObjectStore }

func (s shortRanges) Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	object, err := s.ObjectStore.Open(ctx, ref, offset, length)
	if err == nil && length >= 0 {
		object.Size = length
	}
	return object, err
}

// A range that the store answers wrongly is no proof of a damaged object.
func TestWrongRangeLeavesTheBlobLive(t *testing.T) {
	t.Parallel()
	h := newHouse(t, cas.Options{HotBlobSize: -1})
	content := castest.RandomBytes(cas.SpoolMemory + 1)
	b, _, err := h.store.Put(t.Context(), cas.Upload{Body: bytes.NewReader(content), Size: int64(len(content))})
	if err != nil {
		t.Fatal(err)
	}
	h.objects.ObjectStore = shortRanges{h.objects.ObjectStore}
	if _, err := h.store.Open(t.Context(), b, 10, 20); !errors.Is(err, cas.ErrStoreUnavailable) {
		t.Errorf("the wrong range: %v", err)
	}
	now, err := h.index.Blob(t.Context(), b.Digest)
	if err != nil || now.State != cas.StateLive {
		t.Errorf("the blob is %s, %v", now.State, err)
	}
	whole, err := h.store.Open(t.Context(), now, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	if got, err := io.ReadAll(whole.Body); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the whole blob: %d bytes, %v", len(got), err)
	}
}
