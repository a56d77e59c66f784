package localtier_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/localtier"
)

// twiceStore reads half of a body, and then all of it from the beginning, as a client does
// that repeats a request. It reads when all uploads of the test are under way.
type twiceStore struct {
	*memoryStore
	underWay *sync.WaitGroup
}

func (s twiceStore) Put(ctx context.Context, ref cas.ObjectRef, body *cas.VerifyingReader) error {
	s.underWay.Done()
	s.underWay.Wait()
	if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{io.LimitReader(body, body.Size()/2)}, make([]byte, 70_001)); err != nil {
		return err
	}
	if !body.Rewind() {
		return errors.New("the body can't be read again")
	}
	return s.memoryStore.Put(ctx, ref, body)
}

// The copies of uploads are right whatever their sizes, also of more than have large buffers,
// and of those that are read twice.
func TestCopiesOfUploads(t *testing.T) {
	t.Parallel()
	const mebi = 1 << 20
	var bodies [][]byte
	for _, size := range []int{0, 1, 128 << 10, 128<<10 + 1, mebi - 1, mebi, mebi + 1, 2 * mebi, 2*mebi + 12_345} {
		for range 4 {
			bodies = append(bodies, castest.RandomBytes(size))
			if size == 0 {
				break // there is only one
			}
		}
	}
	var underWay sync.WaitGroup
	underWay.Add(len(bodies))
	inner := castest.NewFaulty(twiceStore{newMemoryStore(), &underWay})
	tier := newTier(t, inner, localtier.Options{Dir: t.TempDir(), Size: roomy})
	errs := make([]error, len(bodies))
	var uploads sync.WaitGroup
	for i, b := range bodies {
		uploads.Go(func() {
			errs[i] = tier.Put(context.Background(), refOf(b), cas.NewVerifyingReader(bytes.NewReader(b), refOf(b).Digest, int64(len(b))))
		})
	}
	uploads.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	noBucket(inner)
	for _, b := range bodies {
		if !bytes.Equal(read(t, tier, refOf(b)), b) {
			t.Errorf("wrong bytes of %d", len(b))
		}
	}
}

// earlyStore refuses uploads after their first bytes, and goes on reading, as net/http does when a
// server answers early.
type earlyStore struct {
	*memoryStore
	reads sync.WaitGroup
}

func (s *earlyStore) Put(_ context.Context, _ cas.ObjectRef, body *cas.VerifyingReader) error {
	p := make([]byte, 100)
	if _, err := body.Read(p); err != nil {
		return err
	}
	s.reads.Go(func() {
		for {
			if _, err := body.Read(p); err != nil {
				return
			}
		}
	})
	return cas.ErrStoreUnavailable
}

// A store that reads an upload on after its answer is no fault of the folder.
func TestUploadIsReadAfterItsEnd(t *testing.T) {
	t.Parallel()
	inner := &earlyStore{memoryStore: newMemoryStore()}
	tier := newTier(t, inner, localtier.Options{Size: roomy})
	b := castest.RandomBytes(100_000)
	ref := refOf(b)
	if err := tier.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(b), ref.Digest, int64(len(b)))); !errors.Is(err, cas.ErrStoreUnavailable) {
		t.Fatal(err)
	}
	inner.reads.Wait()
	w, end := tier.Witness(ref, 1000)
	w.Saw(b[:500])
	end(false)
	w.Saw(b[500:1000])
	w.Again()
	if s := tier.Stats(); s.Errors != 0 || s.Bytes != 0 || s.Fills != 0 {
		t.Errorf("%+v", s)
	}
}

// An object whose copy was damaged is read without the tier until an upload of it has succeeded.
func TestUploadEndsADoubt(t *testing.T) {
	t.Parallel()
	inner := castest.NewFaulty(newMemoryStore())
	tier := newTier(t, inner, localtier.Options{Size: roomy})
	b := castest.RandomBytes(1000)
	ref := put(t, tier, b)
	isCopy := func() bool {
		o, err := tier.Open(t.Context(), ref, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Body.Close()
		return o.Copy != nil
	}
	o, err := tier.Open(t.Context(), ref, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	o.Copy.Damaged()
	o.Body.Close()
	inner.SetHook(func(op castest.Op, _ cas.ObjectRef) (f castest.Fault) {
		if op == castest.OpPut {
			f.Err = cas.ErrStoreUnavailable
		}
		return f
	})
	if err := tier.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(b), ref.Digest, int64(len(b)))); err == nil {
		t.Fatal("no error")
	}
	if isCopy() {
		t.Error("a copy is read after an upload that failed")
	}
	inner.SetHook(nil)
	put(t, tier, b)
	if !isCopy() {
		t.Error("no copy is read after an upload")
	}
}
