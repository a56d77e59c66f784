package localtier_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/localtier"
)

// sizedStore notes how many bytes were asked for by each read of an object, and gives no more
// than most.
type sizedStore struct {
	*memoryStore
	most int

	mu     sync.Mutex
	asked  []int
	failAt int // the reads fail after so many bytes; 0: none does
}

func (s *sizedStore) Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	o, err := s.memoryStore.Open(ctx, ref, offset, length)
	o.Body = struct {
		io.Reader
		io.Closer
	}{&sizedReader{s: s, src: o.Body, left: s.failAt}, o.Body}
	return o, err
}

// reads returns the sizes of the reads so far.
func (s *sizedStore) reads() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

type sizedReader struct {
	s    *sizedStore
	src  io.Reader
	left int
}

func (r *sizedReader) Read(p []byte) (int, error) {
	r.s.mu.Lock()
	r.s.asked = append(r.s.asked, len(p))
	r.s.mu.Unlock()
	p = p[:min(len(p), r.s.most)]
	if r.s.failAt > 0 {
		if r.left == 0 {
			return 0, errBroken
		}
		p = p[:min(len(p), r.left)]
	}
	n, err := r.src.Read(p)
	r.left -= n
	return n, err
}

var errBroken = errors.New("the connection broke")

// readBy reads all of a body by pieces of at most so many bytes.
func readBy(body io.Reader, piece int) ([]byte, error) {
	var got bytes.Buffer
	_, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{body}, make([]byte, piece))
	return got.Bytes(), err
}

// A reader with a large buffer gets the bytes of the store in it. One with a small buffer doesn't, so
// that a copy is written in large pieces.
func TestReaderFetchesIntoItsBuffer(t *testing.T) {
	t.Parallel()
	const size = 900_000
	for _, test := range []struct {
		piece int
		own   bool // the reads of the store have the reader's buffer
	}{{100_001, true}, {1000, false}} {
		inner := &sizedStore{memoryStore: newMemoryStore(), most: 300_000}
		tier := newTier(t, inner, localtier.Options{Size: roomy})
		b := castest.RandomBytes(size)
		inner.set(refOf(b), b)
		o, err := tier.Open(t.Context(), refOf(b), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readBy(o.Body, test.piece)
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		o.Copy.Verified()
		o.Body.Close()
		published(t, tier, 1)
		hasOwn := false
		for _, n := range inner.reads() {
			hasOwn = hasOwn || n == test.piece
		}
		if hasOwn != test.own {
			t.Errorf("pieces of %d: reads of the store of %v bytes", test.piece, inner.reads())
		}
		if got := read(t, tier, refOf(b)); !bytes.Equal(got, b) {
			t.Error("the copy has other bytes")
		}
	}
}

// A reader that takes nothing does not hold up the fill, nor the readers beside it.
func TestSlowReaderDoesNotHoldUpAFill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		inner := &sizedStore{memoryStore: newMemoryStore(), most: 100_000}
		tier := newTier(t, inner, localtier.Options{Dir: dir, Size: roomy})
		b := castest.RandomBytes(1_000_000)
		inner.set(refOf(b), b)
		slow, err := tier.Open(t.Context(), refOf(b), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 70_000)
		if _, err := io.ReadFull(slow.Body, head); err != nil {
			t.Fatal(err)
		}
		beside, err := tier.Open(t.Context(), refOf(b), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readBy(beside.Body, 200_000); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("the reader beside it: %d bytes, %v", len(got), err)
		}
		beside.Copy.Verified()
		beside.Body.Close()
		synctest.Wait()
		if s := tier.Stats(); s.Fills != 1 {
			t.Errorf("the copy was not made: %+v", s)
		}
		rest, err := readBy(slow.Body, 200_000)
		if err != nil || !bytes.Equal(append(head, rest...), b) {
			t.Errorf("the slow reader: %d bytes, %v", len(rest), err)
		}
		slow.Body.Close()

		// Nor does it if it is the only one.
		other := castest.RandomBytes(1_000_000)
		inner.set(refOf(other), other)
		slow, err = tier.Open(t.Context(), refOf(other), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(slow.Body, head); err != nil {
			t.Fatal(err)
		}
		castest.Eventually(t, "all bytes were fetched", func() bool { return tier.Fetched(refOf(other)) })
		slow.Body.Close()
		synctest.Wait()
		if s := tier.Stats(); s.Fills != 2 {
			t.Errorf("the copy was not made: %+v", s)
		}
	})
}

// Readers with buffers of all sizes, from the beginning, of a range, that leave and that stay, have the
// right bytes, and one read of the store.
func TestReadersOfAllSizesShareAFill(t *testing.T) {
	t.Parallel()
	for range castest.Thorough(50, 5) {
		inner := &sizedStore{memoryStore: newMemoryStore(), most: 10_000 + rand.IntN(300_000)}
		opens := 0
		faulty := castest.NewFaulty(inner)
		var mu sync.Mutex
		faulty.SetHook(func(castest.Op, cas.ObjectRef) castest.Fault {
			mu.Lock()
			defer mu.Unlock()
			opens++
			return castest.Fault{}
		})
		tier := newTier(t, faulty, localtier.Options{Size: roomy})
		b := castest.RandomBytes(1_000_000 + rand.IntN(1000))
		inner.set(refOf(b), b)
		first, err := tier.Open(t.Context(), refOf(b), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		var readers sync.WaitGroup
		for i, piece := range []int{1000, 64 << 10, 64<<10 - 1, 100_000, 256 << 10, 1 << 20, 300_000} {
			readers.Go(func() {
				offset := int64(rand.IntN(2) * rand.IntN(len(b)/2))
				o, err := tier.Open(t.Context(), refOf(b), offset, -1)
				if err != nil {
					t.Error(err)
					return
				}
				defer o.Body.Close()
				if i == 3 { // it leaves
					_, _ = io.ReadFull(o.Body, make([]byte, piece))
					return
				}
				if got, err := readBy(o.Body, piece); err != nil || !bytes.Equal(got, b[offset:]) {
					t.Errorf("pieces of %d from %d: %d bytes, %v", piece, offset, len(got), err)
				}
			})
		}
		got, err := readBy(first.Body, 256<<10)
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("the first reader: %d bytes, %v", len(got), err)
		}
		first.Copy.Verified()
		readers.Wait()
		first.Body.Close()
		published(t, tier, 1)
		if opens != 1 {
			t.Errorf("%d reads of the store", opens)
		}
		if got := read(t, tier, refOf(b)); !bytes.Equal(got, b) {
			t.Error("the copy has other bytes")
		}
	}
}

// When the store fails in the middle, the readers have the bytes before, and the error. No copy is
// made. The next reader asks the store again.
func TestStoreFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	inner := &sizedStore{memoryStore: newMemoryStore(), most: 100_000, failAt: 250_000}
	dir := t.TempDir()
	tier := newTier(t, inner, localtier.Options{Dir: dir, Size: roomy})
	b := castest.RandomBytes(1_000_000)
	inner.set(refOf(b), b)
	for _, piece := range []int{256 << 10, 1000} {
		o, err := tier.Open(t.Context(), refOf(b), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readBy(o.Body, piece)
		if !errors.Is(err, errBroken) || !bytes.Equal(got, b[:250_000]) {
			t.Errorf("pieces of %d: %d bytes, %v", piece, len(got), err)
		}
		o.Body.Close()
		castest.Eventually(t, "the room is free", func() bool { return tier.Stats().Bytes == 0 })
	}
	inner.failAt = 0
	if got := read(t, tier, refOf(b)); !bytes.Equal(got, b) {
		t.Error("wrong bytes")
	}
	published(t, tier, 1)
}

// When the disk takes no more bytes, the reader goes on with the object.
func TestDiskFailsDuringAFill(t *testing.T) {
	t.Parallel()
	inner := &sizedStore{memoryStore: newMemoryStore(), most: 100_000}
	tier := newTier(t, inner, localtier.Options{Size: roomy})
	for _, piece := range []int{256 << 10, 1000} {
		b := castest.RandomBytes(1_000_000)
		inner.set(refOf(b), b)
		o, err := tier.Open(t.Context(), refOf(b), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 70_000)
		if _, err := io.ReadFull(o.Body, head); err != nil {
			t.Fatal(err)
		}
		tier.BreakDraft(refOf(b))
		rest, err := readBy(o.Body, piece)
		if err != nil || !bytes.Equal(append(head, rest...), b) {
			t.Errorf("pieces of %d: %d bytes, %v", piece, len(rest), err)
		}
		o.Copy.Verified()
		o.Body.Close()
		castest.Eventually(t, "the room is free", func() bool { return tier.Stats().Bytes == 0 })
		if s := tier.Stats(); s.Fills != 0 || s.Errors == 0 {
			t.Errorf("%+v", s)
		}
		tier.Resume()
	}
}

// silentStore sends the beginning of an object, and then nothing until the read is canceled.
type silentStore struct {
	*memoryStore
	beginning int
	silent    chan struct{} // closed when the store says nothing more
}

func (s *silentStore) Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	o, err := s.memoryStore.Open(ctx, ref, offset, length)
	if err != nil {
		return o, err
	}
	silence := readerFunc(func([]byte) (int, error) {
		close(s.silent)
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	o.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(o.Body, int64(s.beginning)), silence), o.Body}
	return o, nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// The only reader of a large object leaves at once, also while it waits for the store.
func TestReaderThatFetchesLeaves(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	inner := &silentStore{memoryStore: newMemoryStore(), beginning: 64 << 10, silent: make(chan struct{})}
	ref := put(t, inner, castest.RandomBytes(size))
	tier := newTier(t, inner, localtier.Options{Size: 2 * size, FillLimit: size / 2})
	ctx, cancel := context.WithCancelCause(t.Context())
	o, err := tier.Open(ctx, ref, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Body.Close()
	gone := errors.New("the client is gone")
	go func() {
		<-inner.silent
		cancel(gone)
	}()
	buffer := make([]byte, 128<<10)
	for err == nil {
		_, err = o.Body.Read(buffer)
	}
	if !errors.Is(err, gone) {
		t.Errorf("error %v; want %v", err, gone)
	}
}

// An object that is longer than it says is not kept, also if its readers have had all.
func TestObjectThatIsTooLongIsNotKept(t *testing.T) {
	t.Parallel()
	const size = 256 << 10
	inner := &longStore{memoryStore: newMemoryStore()}
	ref := put(t, inner, castest.RandomBytes(size))
	tier := newTier(t, inner, localtier.Options{Size: 4 * size})
	o, err := tier.Open(t.Context(), ref, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(o.Body, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := o.Body.Close(); err != nil {
		t.Fatal(err)
	}
	castest.Eventually(t, "the fill has ended", func() bool { return tier.Stats().Bytes == 0 })
	if fills := tier.Stats().Fills; fills != 0 {
		t.Errorf("%d copies are kept", fills)
	}
}

// longStore has one byte more of each object than it says.
type longStore struct{ *memoryStore }

func (s *longStore) Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	o, err := s.memoryStore.Open(ctx, ref, offset, length)
	if err == nil {
		o.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(o.Body, bytes.NewReader([]byte("x"))), o.Body}
	}
	return o, err
}
