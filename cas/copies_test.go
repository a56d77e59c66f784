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

// cutCopies reads each object from a copy that was cut short, which can't be removed.
type cutCopies struct{ cas.ObjectStore }

type cutCopy struct{}

func (cutCopy) IsFresh() bool { return false }
func (cutCopy) Verified()     {}
func (cutCopy) Damaged()      {}

func (cutCopies) Open(context.Context, cas.ObjectRef, int64, int64) (cas.Object, error) {
	return cas.Object{Body: io.NopCloser(bytes.NewReader(make([]byte, 10))), Size: 10, Copy: cutCopy{}}, nil
}

// storeOfCutCopies returns a store of the blobs of h that reads cut copies of them.
func storeOfCutCopies(t *testing.T, h *house) *cas.Store {
	t.Helper()
	s, err := cas.NewStore(cutCopies{h.objects}, h.index, cas.Options{SpoolDir: t.TempDir(), HotBlobSize: -1, ReadWithoutIndex: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Copies of another size than the blob's say nothing about its object, whatever their number.
func TestCutCopiesMakeNoBlobSuspect(t *testing.T) {
	h := newHouse(t, cas.Options{HotBlobSize: -1})
	d := put(t, h, castest.RandomBytes(1000))
	s := storeOfCutCopies(t, h)
	for _, length := range []int64{-1, 5} {
		b, err := s.Blob(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(t.Context(), b, 0, length); !errors.Is(err, cas.ErrCopyDamaged) {
			t.Errorf("length %d: %v", length, err)
		}
	}
	if b, err := h.store.Blob(t.Context(), d); err != nil || b.State != cas.StateLive {
		t.Errorf("the blob is %q, %v", b.State, err)
	}
}

// Without the index, the size of a blob is that of its object and not of a copy, and a blob whose object
// was removed is not found. A copy is asked only if the store does not answer.
func TestSizeWithoutTheIndex(t *testing.T) {
	h := newHouse(t, cas.Options{HotBlobSize: -1})
	d := put(t, h, castest.RandomBytes(1000))
	s := storeOfCutCopies(t, h)
	h.indexHook = func(string, cas.Digest) (bool, error) { return false, cas.ErrIndexUnavailable }
	if b, err := s.Blob(t.Context(), d); err != nil || b.Size != 1000 {
		t.Errorf("%d bytes, %v", b.Size, err)
	}
	h.objects.SetHook(func(castest.Op, cas.ObjectRef) castest.Fault { return castest.Fault{Err: cas.ErrStoreUnavailable} })
	if b, err := s.Blob(t.Context(), d); err != nil || b.Size != 10 {
		t.Errorf("the store is away: %d bytes, %v", b.Size, err)
	}
	h.objects.SetHook(nil)
	if err := h.objects.Delete(t.Context(), cas.ObjectRef{Digest: d}); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Blob(t.Context(), d); !errors.Is(err, cas.ErrIndexUnavailable) {
		t.Errorf("of a removed object: %d bytes, %v", b.Size, err)
	}
}
