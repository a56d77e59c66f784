package localtier_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/folderstore"
	"casgate/cas/localtier"
)

const roomy = 1 << 30

func refOf(b []byte) cas.ObjectRef { return cas.ObjectRef{Digest: cas.DigestOf(b)} }

func put(t testing.TB, s cas.ObjectStore, b []byte) cas.ObjectRef {
	t.Helper()
	ref := refOf(b)
	if err := s.Put(context.Background(), ref, cas.NewVerifyingReader(bytes.NewReader(b), ref.Digest, int64(len(b)))); err != nil {
		t.Fatal(err)
	}
	return ref
}

// read reads a whole object, and says that it was verified, as cas.Store does.
func read(t testing.TB, s cas.ObjectStore, ref cas.ObjectRef) []byte {
	t.Helper()
	o, err := s.Open(context.Background(), ref, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Body.Close()
	b, err := io.ReadAll(o.Body)
	if err != nil {
		t.Fatal(err)
	}
	if o.Copy != nil && cas.DigestOf(b) == ref.Digest {
		o.Copy.Verified()
	}
	return b
}

// published waits until a tier has made n copies.
func published(t testing.TB, tier *localtier.Tier, n int64) {
	t.Helper()
	castest.Eventually(t, "copies are published", func() bool { return tier.Stats().Fills >= n })
}

// noBucket makes the store behind a tier fail.
func noBucket(f *castest.Faulty) {
	f.SetHook(func(castest.Op, cas.ObjectRef) castest.Fault { return castest.Fault{Err: cas.ErrStoreUnavailable} })
}

// What was uploaded, read as a whole or in part lies in the tier, and is read there while the
// store behind it is away, also after a restart.
func TestWhatPassesThroughStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	memory := newMemoryStore()
	inner := castest.NewFaulty(memory)
	tier, err := localtier.New(inner, localtier.Options{Dir: dir, Size: roomy, FillLimit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	uploaded := castest.RandomBytes(300_000)
	put(t, tier, uploaded)
	whole, part, large := castest.RandomBytes(2<<20), castest.RandomBytes(1<<20-1), castest.RandomBytes(1<<20)
	for _, b := range [][]byte{whole, part, large} {
		memory.set(refOf(b), b)
	}
	if !bytes.Equal(read(t, tier, refOf(whole)), whole) {
		t.Fatal("wrong bytes")
	}
	for _, b := range [][]byte{part, large} {
		o, err := tier.Open(t.Context(), refOf(b), 500, 100)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(o.Body)
		if err != nil || !bytes.Equal(got, b[500:600]) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		o.Body.Close()
	}
	published(t, tier, 3)
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	noBucket(inner)
	tier = newTier(t, inner, localtier.Options{Dir: dir, Size: roomy})
	for _, b := range [][]byte{uploaded, whole, part} {
		if !bytes.Equal(read(t, tier, refOf(b)), b) {
			t.Error("wrong bytes")
		}
	}
	if o, err := tier.Open(t.Context(), refOf(large), 0, -1); !errors.Is(err, cas.ErrStoreUnavailable) {
		if err == nil {
			o.Body.Close()
		}
		t.Errorf("of an object that is too large to be fetched for a range: %v", err)
	}
	if s := tier.Stats(); s.Hits != 3 || s.Bytes != 300_000+2<<20+1<<20-1 {
		t.Errorf("%+v", s)
	}
}

// gatedStore lets a test decide how far a read of the store has come.
type gatedStore struct {
	*memoryStore
	gate  chan int // the number of bytes that may pass; closed: all
	opens chan struct{}
}

func newGatedStore() *gatedStore {
	return &gatedStore{newMemoryStore(), make(chan int), make(chan struct{}, 100)}
}

func (s *gatedStore) Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	o, err := s.memoryStore.Open(ctx, ref, offset, length)
	s.opens <- struct{}{}
	o.Body = struct {
		io.Reader
		io.Closer
	}{&gatedReader{ctx: ctx, src: o.Body, gate: s.gate}, o.Body}
	return o, err
}

type gatedReader struct {
	ctx  context.Context
	src  io.Reader
	gate chan int
	left int
}

func (r *gatedReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		select {
		case n, ok := <-r.gate:
			if r.left = n; !ok {
				return r.src.Read(p)
			}
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
	n, err := r.src.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// Many readers share one read of the store. They get the bytes as they come, and it does not matter
// that the first one leaves.
func TestReadersShareAFill(t *testing.T) {
	t.Parallel()
	inner := newGatedStore()
	tier := newTier(t, inner, localtier.Options{Size: roomy})
	b := castest.RandomBytes(1 << 20)
	inner.set(refOf(b), b)
	ctx, cancel := context.WithCancel(t.Context())
	first, err := tier.Open(ctx, refOf(b), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	var others []cas.Object
	for range 8 {
		o, err := tier.Open(t.Context(), refOf(b), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, o)
	}
	part, err := tier.Open(t.Context(), refOf(b), 1000, 500)
	if err != nil {
		t.Fatal(err)
	}
	inner.gate <- 10_000
	for _, o := range append(others, first) {
		head := make([]byte, 10_000)
		if _, err := io.ReadFull(o.Body, head); err != nil || !bytes.Equal(head, b[:10_000]) {
			t.Fatalf("the first bytes: %v", err)
		}
	}
	if got, err := io.ReadAll(part.Body); err != nil || !bytes.Equal(got, b[1000:1500]) {
		t.Fatalf("a range: %d bytes, %v", len(got), err)
	}
	part.Body.Close()
	cancel()
	if _, err := io.ReadAll(first.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("the first reader, which left: %v", err)
	}
	first.Body.Close()
	close(inner.gate)
	var readers sync.WaitGroup
	for i, o := range others {
		readers.Go(func() {
			rest, err := io.ReadAll(o.Body)
			if err != nil || !bytes.Equal(rest, b[10_000:]) {
				t.Errorf("reader %d: %d bytes, %v", i, len(rest), err)
			}
			o.Body.Close()
		})
	}
	readers.Wait()
	published(t, tier, 1)
	if n := len(inner.opens); n != 1 {
		t.Errorf("%d reads of the store, want 1", n)
	}
	if s := tier.Stats(); s.Joins != 9 || s.Misses != 1 {
		t.Errorf("%+v", s)
	}
}

// slowFailure is a store that is down: each read of it fails after some time.
type slowFailure struct {
	*memoryStore
	opens atomic.Int64
}

const failsAfter = 10 * time.Second

func (s *slowFailure) Open(ctx context.Context, _ cas.ObjectRef, _, _ int64) (cas.Object, error) {
	s.opens.Add(1)
	select {
	case <-time.After(failsAfter):
	case <-ctx.Done():
	}
	return cas.Object{}, cas.ErrStoreUnavailable
}

// While the store is down, the readers of one object have their errors at the same time, and not one
// after the other.
func TestReadersOfAStoreThatIsDown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		inner := &slowFailure{memoryStore: newMemoryStore()}
		tier, err := localtier.New(inner, localtier.Options{Dir: dir, Size: roomy})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var readers sync.WaitGroup
		for range 20 {
			readers.Go(func() {
				if _, err := tier.Open(t.Context(), cas.ObjectRef{}, 0, -1); !errors.Is(err, cas.ErrStoreUnavailable) {
					t.Error(err)
				}
				if waited := time.Since(began); waited > failsAfter {
					t.Errorf("an error after %v, and each read of the store takes %v", waited, failsAfter)
				}
			})
		}
		readers.Wait()
		if n := inner.opens.Load(); n != 1 {
			t.Errorf("%d reads of the store by 20 readers", n)
		}
		// A reader that comes later asks the store itself.
		readers.Go(func() { _, _ = tier.Open(t.Context(), cas.ObjectRef{}, 0, -1) })
		time.Sleep(failsAfter / 2)
		if _, err := tier.Open(t.Context(), cas.ObjectRef{}, 0, -1); !errors.Is(err, cas.ErrStoreUnavailable) {
			t.Error(err)
		}
		readers.Wait()
		if n := inner.opens.Load(); n != 3 {
			t.Errorf("%d reads of the store in all; want 3", n)
		}
		if err := tier.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A large object is not fetched for a reader that has left. A smaller one is.
func TestFillsWithoutReaders(t *testing.T) {
	t.Parallel()
	inner := newGatedStore()
	tier := newTier(t, inner, localtier.Options{Size: roomy, FillLimit: 100_000})
	for _, size := range []int{100_000, 99_999} {
		b := castest.RandomBytes(size)
		inner.set(refOf(b), b)
		o, err := tier.Open(t.Context(), refOf(b), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		o.Body.Close()
		if size < 100_000 {
			close(inner.gate)
			published(t, tier, 1)
			continue
		}
		castest.Eventually(t, "the fill ends", func() bool { return tier.Stats().Bytes == 0 })
	}
}

// With a limit of 0, a range that is read makes no copy.
func TestNoFillsOfRanges(t *testing.T) {
	t.Parallel()
	inner := newGatedStore()
	close(inner.gate)
	tier, err := localtier.New(inner, localtier.Options{Dir: t.TempDir(), Size: roomy})
	if err != nil {
		t.Fatal(err)
	}
	b := castest.RandomBytes(1000)
	inner.set(refOf(b), b)
	o, err := tier.Open(t.Context(), refOf(b), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	o.Body.Close()
	if err := tier.Close(); err != nil { // it waits for fills
		t.Fatal(err)
	}
	if n := len(inner.opens); n != 1 {
		t.Errorf("%d reads of the store, want 1", n)
	}
}

// An object that is deleted while it is fetched is not kept. Its readers may finish.
func TestDeleteDuringAFill(t *testing.T) {
	t.Parallel()
	inner := newGatedStore()
	dir := t.TempDir()
	tier := newTier(t, inner, localtier.Options{Dir: dir, Size: roomy})
	b := castest.RandomBytes(500_000)
	ref := refOf(b)
	inner.set(ref, b)
	o, err := tier.Open(t.Context(), ref, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	inner.gate <- 1000
	if _, err := io.ReadFull(o.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := tier.Delete(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if _, err := tier.Open(t.Context(), ref, 0, -1); !errors.Is(err, cas.ErrObjectMissing) {
		t.Errorf("after the delete: %v", err)
	}
	close(inner.gate)
	if rest, err := io.ReadAll(o.Body); err != nil || !bytes.Equal(rest, b[1000:]) {
		t.Errorf("the reader that came before: %d bytes, %v", len(rest), err)
	}
	o.Copy.Verified()
	o.Body.Close()
	castest.Eventually(t, "the room is free", func() bool { return tier.Stats().Bytes == 0 })
	if s := tier.Stats(); s.Fills != 0 || copiesIn(t, dir) != 0 {
		t.Errorf("%+v, and %d bytes on the disk", s, copiesIn(t, dir))
	}
	// The next generation is another object.
	next := cas.ObjectRef{Digest: ref.Digest, Generation: 1}
	if err := tier.Put(t.Context(), next, cas.NewVerifyingReader(bytes.NewReader(b), ref.Digest, int64(len(b)))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, tier, next), b) {
		t.Error("the next generation has other bytes")
	}
}

// Wrong bytes of the store are never kept, whether or not a reader verifies them.
func TestWrongBytesAreNotKept(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]func([]byte) []byte{
		"changed": func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"short":   func(b []byte) []byte { return b[:len(b)-1] },
		"long":    func(b []byte) []byte { return append(b, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner := newMemoryStore()
			dir := t.TempDir()
			tier := newTier(t, inner, localtier.Options{Dir: dir, Size: roomy})
			b := castest.RandomBytes(400_000)
			ref := refOf(b)
			inner.set(ref, wrong(bytes.Clone(b)))
			o, err := tier.Open(t.Context(), ref, 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.ReadAll(o.Body) // whatever comes
			o.Body.Close()
			castest.Eventually(t, "the room is free", func() bool { return tier.Stats().Bytes == 0 })
			if s := tier.Stats(); s.Fills != 0 || copiesIn(t, dir) != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// The least recently used copies go first, also if the uses were before a restart, and never one that is
// being read.
func TestEviction(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		inner := castest.NewFaulty(newMemoryStore())
		start := func() *localtier.Tier {
			tier, err := localtier.New(inner, localtier.Options{Dir: dir, Size: 100 * 10_000})
			if err != nil {
				t.Fatal(err)
			}
			return tier
		}
		tier := start()
		var refs []cas.ObjectRef
		for range 100 {
			refs = append(refs, put(t, tier, castest.RandomBytes(10_000)))
		}
		time.Sleep(time.Hour)
		for i, ref := range refs {
			if i%2 == 0 {
				read(t, tier, ref)
			}
		}
		held, err := tier.Open(t.Context(), refs[1], 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if err := tier.Close(); err != nil {
			t.Fatal(err)
		}
		held.Body.Close()
		tier = start()
		if held, err = tier.Open(t.Context(), refs[3], 0, -1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		for range 30 {
			put(t, tier, castest.RandomBytes(10_000))
			if s := tier.Stats(); s.Bytes > s.Limit || copiesIn(t, dir) > s.Limit {
				t.Fatalf("%+v, and %d bytes on the disk", s, copiesIn(t, dir))
			}
		}
		if s := tier.Stats(); s.Evictions != 30 || s.EvictedBytes != 300_000 {
			t.Errorf("%+v", s)
		}
		noBucket(inner)
		kept := 0
		for i, ref := range refs {
			o, err := tier.Open(t.Context(), ref, 0, -1)
			if err == nil {
				o.Body.Close()
				kept++
			}
			if err != nil && (i%2 == 0 || i == 3) {
				t.Errorf("copy %d, which was used, is gone: %v", i, err)
			}
		}
		if kept != 70 {
			t.Errorf("%d copies are left, want 70", kept)
		}
		held.Body.Close()
		if err := tier.Close(); err != nil {
			t.Fatal(err)
		}
		// With a lower limit, the start makes room.
		smaller, err := localtier.New(inner, localtier.Options{Dir: dir, Size: 200_000})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := smaller.Stats(); s.Bytes > s.Limit || copiesIn(t, dir) > s.Limit {
			t.Errorf("%+v", s)
		}
		if err := smaller.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// After a crash of the machine the record may be wrong, and copies may be cut short: all are
// dropped, and new ones are made.
func TestCopiesAreDroppedAfterACrashOfTheMachine(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(name string) error{
		"missing": os.Remove,
		"cut":     func(name string) error { return os.Truncate(name, 100) },
		"of another boot": func(name string) error {
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte{'u'}, 64); err != nil { // in use
				return err
			}
			if _, err := f.WriteAt([]byte("another boot"), 128); err != nil {
				return err
			}
			_, err = f.WriteAt(make([]byte, 8<<16), 4096) // without any bytes
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			inner := newMemoryStore()
			tier, err := localtier.New(inner, localtier.Options{Dir: dir, Size: roomy})
			if err != nil {
				t.Fatal(err)
			}
			for range 10 {
				put(t, tier, castest.RandomBytes(1000))
			}
			if err := tier.Close(); err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(dir, "uses")); err != nil {
				t.Fatal(err)
			}
			tier = newTier(t, inner, localtier.Options{Dir: dir, Size: roomy})
			b := castest.RandomBytes(1000)
			castest.Eventually(t, "copies are made again", func() bool {
				put(t, tier, b)
				return tier.Stats().Fills > 0
			})
			if _, err := os.Stat(filepath.Join(dir, "dropped")); !errors.Is(err, os.ErrNotExist) || tier.Stats().Bytes != 1000 || copiesIn(t, dir) != 1000 {
				t.Errorf("%+v, and %d bytes on the disk; %v", tier.Stats(), copiesIn(t, dir), err)
			}
		})
	}
}

// Unfinished copies that a killed process left go, and one folder serves one process.
func TestStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tier := newTier(t, newMemoryStore(), localtier.Options{Dir: dir, Size: roomy})
	if _, err := localtier.New(newMemoryStore(), localtier.Options{Dir: dir, Size: roomy}); !errors.Is(err, localtier.ErrInUse) {
		t.Errorf("a second process: %v", err)
	}
	if s := tier.Stats(); s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
	other := t.TempDir()
	closed, err := localtier.New(newMemoryStore(), localtier.Options{Dir: other, Size: roomy})
	if err == nil {
		err = closed.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "tmp", "left"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	newTier(t, newMemoryStore(), localtier.Options{Dir: other, Size: roomy})
	if n := copiesIn(t, other); n != 0 {
		t.Errorf("%d bytes of unfinished copies are left", n)
	}
}

// A folder with anything in it that is not a tier's is refused, and stays as it is: an old
// folder store looks the same.
func TestForeignFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, err := folderstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	b := castest.RandomBytes(1000)
	if err := store.Put(t.Context(), refOf(b), cas.NewVerifyingReader(bytes.NewReader(b), cas.DigestOf(b), 1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := localtier.New(newMemoryStore(), localtier.Options{Dir: dir, Size: roomy}); !errors.Is(err, localtier.ErrForeignFolder) {
		t.Errorf("error %v", err)
	}
	if _, err := localtier.Look(dir, ""); !errors.Is(err, localtier.ErrForeignFolder) {
		t.Errorf("error %v", err)
	}
	if _, err := store.Stat(t.Context(), refOf(b)); err != nil {
		t.Errorf("the object of the folder store: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "casgate-tier")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the mark of a tier: %v", err)
	}
}

// What a killed `cas doctor` has left does not keep a tier from using its folder.
func TestFolderThatWasTried(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := localtier.TryWrite(dir); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".casgate-doctor-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	newTier(t, newMemoryStore(), localtier.Options{Dir: dir, Size: roomy})
}

// Something else in the place of a copy is removed, and does not keep others from being made.
func TestOddCopyIsReplaced(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(copy string) error{
		"a pipe":          func(copy string) error { return syscall.Mkfifo(copy, 0o600) },
		"a symbolic link": func(copy string) error { return os.Symlink("/etc/hostname", copy) },
		"a directory":     func(copy string) error { return os.Mkdir(copy, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			tier := newTier(t, newMemoryStore(), localtier.Options{Dir: dir, Size: roomy})
			b := castest.RandomBytes(1000)
			ref := put(t, tier, b)
			copy := filepath.Join(dir, filepath.FromSlash(ref.Key()))
			if err := errors.Join(os.Remove(copy), replace(copy)); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if !bytes.Equal(read(t, tier, ref), b) {
					t.Error("other bytes")
				}
			}
			castest.Eventually(t, "a new copy", func() bool {
				info, err := os.Lstat(copy)
				return err == nil && info.Mode().IsRegular()
			})
		})
	}
}

// A range of an object that is larger than the tier is read alone.
func TestRangeOfAnObjectLargerThanTheTier(t *testing.T) {
	t.Parallel()
	inner := newGatedStore()
	close(inner.gate)
	tier := newTier(t, inner, localtier.Options{Size: 1000})
	b := castest.RandomBytes(2000)
	inner.set(refOf(b), b)
	for range 3 {
		o, err := tier.Open(t.Context(), refOf(b), 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		o.Body.Close()
	}
	if n := len(inner.opens); n != 3 {
		t.Errorf("%d reads of the store, want 3", n)
	}
}

// Another gateway deletes the blob while a copy is made: it is not kept.
func TestDeleteElsewhereDuringAFill(t *testing.T) {
	t.Parallel()
	inner := newGatedStore()
	dir := t.TempDir()
	tier := newTier(t, inner, localtier.Options{Dir: dir, Size: roomy})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tier.Run(ctx, rows{}) }()
	b := castest.RandomBytes(500_000)
	inner.set(refOf(b), b)
	o, err := tier.Open(t.Context(), refOf(b), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	tier.Changed(refOf(b).Digest)
	tier.Changed(cas.Digest{}) // it is taken after the first one is dealt with
	castest.Eventually(t, "the tier has heard of it", func() bool { return tier.Pending() == 0 })
	close(inner.gate)
	if got, err := io.ReadAll(o.Body); err != nil || !bytes.Equal(got, b) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	o.Copy.Verified()
	o.Body.Close()
	castest.Eventually(t, "the room is free", func() bool { return tier.Stats().Bytes == 0 })
	if n := copiesIn(t, dir); n != 0 {
		t.Errorf("%d bytes of copies are left", n)
	}
	stop()
	<-ended
}

// Without the folder, and with copies that are cut or unreadable, all bytes come from the
// store behind the tier.
func TestFolderFails(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, dir, copy string){
		"removed": func(t *testing.T, dir, _ string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		},
		"a directory in place of a copy": func(t *testing.T, _, copy string) {
			if err := errors.Join(os.Remove(copy), os.Mkdir(copy, 0o755)); err != nil {
				t.Fatal(err)
			}
		},
		"a file in place of the folder of drafts": func(t *testing.T, dir, _ string) {
			tmp := filepath.Join(dir, "tmp")
			if err := errors.Join(os.RemoveAll(tmp), os.WriteFile(tmp, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			tier, err := localtier.New(newMemoryStore(), localtier.Options{Dir: dir, Size: roomy})
			if err != nil {
				t.Fatal(err)
			}
			defer tier.Close() // the folder may be gone, which it may report
			b := castest.RandomBytes(100_000)
			ref := put(t, tier, b)
			damage(t, dir, filepath.Join(dir, filepath.FromSlash(ref.Key())))
			for range 3 {
				if !bytes.Equal(read(t, tier, ref), b) {
					t.Error("wrong bytes")
				}
				o, err := tier.Open(t.Context(), ref, 99_000, 500)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(o.Body); err != nil || !bytes.Equal(got, b[99_000:99_500]) {
					t.Errorf("a range: %v", err)
				}
				o.Body.Close()
				other := castest.RandomBytes(1000)
				if !bytes.Equal(read(t, tier, put(t, tier, other)), other) {
					t.Error("wrong bytes of an upload")
				}
			}
		})
	}
}

// A copy that is cut while it is read, in the process or by the kernel, is dropped, and the
// reader gets the rest from the object.
func TestCopyIsCutDuringARead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tier := newTier(t, newMemoryStore(), localtier.Options{Dir: dir, Size: roomy})
	for name, read := range map[string]func(cas.Object) ([]byte, error){
		"read": func(o cas.Object) ([]byte, error) { return io.ReadAll(struct{ io.Reader }{o.Body}) },
		"sent": func(o cas.Object) ([]byte, error) {
			var got bytes.Buffer
			_, err := o.Body.(io.WriterTo).WriteTo(&got)
			return got.Bytes(), err
		},
	} {
		b := castest.RandomBytes(200_000)
		ref := put(t, tier, b)
		copy := filepath.Join(dir, filepath.FromSlash(ref.Key()))
		o, err := tier.Open(t.Context(), ref, 0, -1)
		if err == nil {
			err = os.Truncate(copy, 150_000)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(o); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		o.Body.Close()
		if _, err := os.Stat(copy); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the copy that was cut is still there: %v", name, err)
		}
	}
	if s := tier.Stats(); s.Damaged != 2 {
		t.Errorf("%+v", s)
	}
}

// spyConn notes whether the file on disk itself reaches the connection, as sendfile needs it.
type spyConn struct {
	*net.TCPConn
	gotFile bool
}

func (c *spyConn) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		_, c.gotFile = limited.R.(*os.File)
		_, isConn := limited.R.(syscall.Conn)
		c.gotFile = c.gotFile && isConn
	}
	return c.TCPConn.ReadFrom(r)
}

// The kernel sends the bytes of a copy, and of any range of it.
func TestCopiesAreSentByTheKernel(t *testing.T) {
	t.Parallel()
	tier := newTier(t, newMemoryStore(), localtier.Options{Size: roomy})
	b := castest.RandomBytes(3 << 20)
	ref := put(t, tier, b)
	published(t, tier, 1)
	castest.Eventually(t, "the copy is read from its file on disk", func() bool {
		o, err := tier.Open(t.Context(), ref, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Body.Close()
		return tier.Stats().Hits > 0
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, r := range []struct{ offset, length int64 }{{0, -1}, {1, -1}, {1000, 2 << 20}} {
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		o, err := tier.Open(t.Context(), ref, r.offset, r.length)
		if err != nil {
			t.Fatal(err)
		}
		spy := &spyConn{TCPConn: server.(*net.TCPConn)}
		sent := make(chan error, 1)
		go func() {
			_, err := o.Body.(io.WriterTo).WriteTo(spy)
			sent <- errors.Join(err, server.Close())
		}()
		got, err := io.ReadAll(client)
		if err := errors.Join(err, <-sent); err != nil {
			t.Fatal(err)
		}
		want := b[r.offset:]
		if r.length >= 0 {
			want = want[:r.length]
		}
		if !bytes.Equal(got, want) || !spy.gotFile {
			t.Errorf("%+v: %d bytes; by the kernel: %t", r, len(got), spy.gotFile)
		}
		o.Body.Close()
		client.Close()
	}
}
