package localtier_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/localtier"
)

// evicting is a tier that has one copy, and room for no more.
type evicting struct {
	dir   string
	inner *memoryStore
	tier  *localtier.Tier
	old   []byte
	limit int64
}

// newEvicting returns an open tier whose copy has so many bytes. It has room for a copy of newSize in its
// place.
func newEvicting(t *testing.T, oldSize, newSize int) *evicting {
	e := &evicting{dir: t.TempDir(), inner: newMemoryStore(), old: castest.RandomBytes(oldSize), limit: int64(max(oldSize, newSize))}
	e.start(t)
	put(t, e.tier, e.old)
	return e
}

// start opens the tier. The test closes it in the end.
func (e *evicting) start(t *testing.T) {
	t.Helper()
	tier, err := localtier.New(e.inner, localtier.Options{Dir: e.dir, Size: e.limit, FillLimit: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	e.tier = tier
}

func (e *evicting) close(t *testing.T) {
	t.Helper()
	if err := e.tier.Close(); err != nil {
		t.Error(err)
	}
}

func (e *evicting) path(b []byte) string { return filepath.Join(e.dir, refOf(b).Key()) }

func (e *evicting) stat(t *testing.T, b []byte) os.FileInfo {
	t.Helper()
	info, err := os.Stat(e.path(b))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// evict reads an object, whose copy pushes the old one out. It reports whether it is written over that.
func (e *evicting) evict(t *testing.T, size int) (isReused bool) {
	t.Helper()
	// The inode is held, and not opened for reading, so that no new file gets it.
	inode, err := unix.Open(e.path(e.old), unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inode)
	before := e.stat(t, e.old)
	b := castest.RandomBytes(size)
	e.inner.set(refOf(b), b)
	fills := e.tier.Stats().Fills
	if !bytes.Equal(read(t, e.tier, refOf(b)), b) {
		t.Error("wrong bytes while the copy is made")
	}
	published(t, e.tier, fills+1)
	if !bytes.Equal(read(t, e.tier, refOf(b)), b) {
		t.Error("wrong bytes of the copy")
	}
	after := e.stat(t, b)
	if after.Size() != int64(size) || after.Mode() != before.Mode() {
		t.Errorf("the file on disk has %d bytes and mode %v; want %d and %v", after.Size(), after.Mode(), size, before.Mode())
	}
	s := e.tier.Stats()
	if s.Evictions == 0 || s.Hits == 0 || s.Errors > 0 || s.Bytes != int64(size) || s.Bytes != copiesIn(t, e.dir) {
		t.Errorf("%+v, and %d bytes on the disk; want %d", s, copiesIn(t, e.dir), size)
	}
	return os.SameFile(before, after)
}

// A copy is written over a large one that it pushes out.
func TestCopyIsWrittenOverAnEvictedOne(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	for name, newSize := range map[string]int{"as large": size, "larger": size + 500_000, "smaller": size - 500_000, "small": 100_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEvicting(t, size, newSize)
			defer e.close(t)
			if !e.evict(t, newSize) {
				t.Error("the copy has a new file on disk")
			}
			// The old object is read again, and pushes the other one out.
			if !bytes.Equal(read(t, e.tier, refOf(e.old)), e.old) {
				t.Error("wrong bytes of the object that was evicted")
			}
		})
	}
}

// A file on disk that somebody else may still read is not written over.
func TestCopyIsNotWrittenOver(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	for name, use := range map[string]func(*testing.T, *evicting){
		"a backup reads it": func(t *testing.T, e *evicting) {
			file, err := os.Open(e.path(e.old))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				got, err := io.ReadAll(file)
				if err := errors.Join(err, file.Close()); err != nil || !bytes.Equal(got, e.old) {
					t.Errorf("the backup got %d wrong bytes, %v", len(got), err)
				}
			})
		},
		"an earlier process made it": func(t *testing.T, e *evicting) {
			e.close(t)
			e.start(t)
		},
		"it has another name": func(t *testing.T, e *evicting) {
			if err := os.Link(e.path(e.old), filepath.Join(t.TempDir(), "link")); err != nil {
				t.Fatal(err)
			}
		},
		"the kernel sent a part of it": func(t *testing.T, e *evicting) {
			o, err := e.tier.Open(t.Context(), refOf(e.old), 1000, 10)
			if err != nil {
				t.Fatal(err)
			}
			defer o.Body.Close()
			if _, err := o.Body.(io.WriterTo).WriteTo(io.Discard); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEvicting(t, size, size)
			defer func() { e.close(t) }()
			use(t, e)
			if e.evict(t, size) {
				t.Error("the copy was written over")
			}
		})
	}
}

// A client that takes its range late gets the right bytes, though the copy was evicted when all of it
// was sent. The kernel sends from the pages of the file on disk.
func TestRangeOfAnEvictedCopyArrives(t *testing.T) {
	t.Parallel()
	const size, length = 3 << 20, 100 << 10 // the buffers of a connection have room for the range
	e := newEvicting(t, size, size)
	defer e.close(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	o, err := e.tier.Open(t.Context(), refOf(e.old), 0, length)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Body.(io.WriterTo).WriteTo(server); err != nil {
		t.Fatal(err)
	}
	o.Body.Close()
	e.evict(t, size)
	got := make([]byte, length)
	if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, e.old[:length]) {
		t.Errorf("wrong bytes of the range, %v", err)
	}
}

// A fill that fails leaves nothing of the copy that it began to write over.
func TestFillOverAnEvictedCopyFails(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	inner := &sizedStore{memoryStore: newMemoryStore(), most: 1 << 20, failAt: 2 << 20}
	dir := t.TempDir()
	tier := newTier(t, inner, localtier.Options{Dir: dir, Size: size})
	old := put(t, tier, castest.RandomBytes(size))
	b := castest.RandomBytes(size)
	inner.set(refOf(b), b)
	o, err := tier.Open(t.Context(), refOf(b), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(o.Body)
	o.Body.Close()
	if !errors.Is(err, errBroken) || !bytes.Equal(got, b[:2<<20]) {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
	castest.Eventually(t, "the room is free", func() bool { return tier.Stats().Bytes == 0 && copiesIn(t, dir) == 0 })
	for _, ref := range []cas.ObjectRef{old, refOf(b)} {
		if _, err := tier.OpenCopy(t.Context(), ref); !errors.Is(err, cas.ErrObjectMissing) {
			t.Errorf("of a copy that is gone: %v", err)
		}
	}
}

// The limit holds though somebody made a copy larger before it was evicted.
func TestLargerCopyIsEvicted(t *testing.T) {
	t.Parallel()
	const size, limit = 3 << 20, 4 << 20
	inner, dir := newMemoryStore(), t.TempDir()
	tier := newTier(t, inner, localtier.Options{Dir: dir, Size: limit})
	old := castest.RandomBytes(size)
	put(t, tier, old)
	for range 40 { // so many candidates that the parts are not counted again
		put(t, tier, castest.RandomBytes(1000))
	}
	tier.LookForCandidates(t.Context())
	file, err := os.OpenFile(filepath.Join(dir, refOf(old).Key()), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.Write(make([]byte, limit))
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	b := castest.RandomBytes(limit - 20_000) // half of the small ones must go, too
	inner.set(refOf(b), b)
	// A read waits for room for a tenth of a second only, which a busy machine can take for the evictions. What
	// was evicted helps the next one.
	castest.Eventually(t, "the copy is made", func() bool {
		if !bytes.Equal(read(t, tier, refOf(b)), b) {
			t.Error("wrong bytes")
		}
		return tier.Stats().Fills > 41
	})
	if s := tier.Stats(); s.Bytes > limit || copiesIn(t, dir) > limit {
		t.Errorf("%d bytes count, and %d are there; the limit is %d", s.Bytes, copiesIn(t, dir), limit)
	}
}
