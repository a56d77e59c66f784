package cas_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3test"
	"casgate/index/sqliteindex"
)

// wantHealed uploads the bytes of a damaged blob and reads them.
func wantHealed(t *testing.T, s *cas.Store, content []byte) {
	t.Helper()
	d := cas.DigestOf(content)
	if b, err := s.Blob(t.Context(), d); err != nil || b.State != cas.StateSuspect {
		t.Fatalf("the damaged blob is %q, error %v", b.State, err)
	}
	b, stored, err := s.Put(t.Context(), cas.Upload{Body: bytes.NewReader(content), Size: int64(len(content)), Digest: &d})
	if err != nil || !stored || b.State != cas.StateLive {
		t.Fatalf("the repair: stored %t, state %q, error %v", stored, b.State, err)
	}
	if got, err := readAll(t.Context(), s, d, 0, -1); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("after the repair: %d bytes, error %v", len(got), err)
	}
}

func readAll(ctx context.Context, s *cas.Store, d cas.Digest, offset, length int64) ([]byte, error) {
	b, err := s.Blob(ctx, d)
	if err != nil {
		return nil, err
	}
	c, err := s.Open(ctx, b, offset, length)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if c.Body == nil {
		return c.Bytes, nil
	}
	return io.ReadAll(c.Body)
}

// A store that finds damage itself answers as if it were overloaded, or breaks the
// response off.
func TestDamageThatMinIOReports(t *testing.T) {
	server := s3test.NewServer(t)
	objects, err := s3store.New(server.Options)
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	x := openSQLite(t, t.TempDir())
	s, err := cas.NewStore(objects, x, cas.Options{SpoolDir: t.TempDir(), HotBlobSize: -1, VerifiedFor: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	flip := func(at func(n int) int) func([]byte) []byte {
		return func(b []byte) []byte { b[at(len(b))] ^= 1; return b }
	}
	for _, c := range []struct {
		name   string
		size   int
		offset int64 // of a part to read; -1 reads the whole
		damage func([]byte) []byte
	}{
		{"small", 1000, -1, flip(func(n int) int { return n - 500 })},
		{"first block", 5 << 20, -1, flip(func(int) int { return 40 })},
		{"middle", 5 << 20, -1, flip(func(n int) int { return n / 2 })},
		{"last byte", 5 << 20, -1, flip(func(n int) int { return n - 1 })},
		{"in a part", 5 << 20, 5<<20 - 10, flip(func(n int) int { return n - 1 })},
		{"truncated", 5 << 20, -1, func(b []byte) []byte { return b[:len(b)/2] }},
		{"emptied", 300 << 10, -1, func([]byte) []byte { return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			content := castest.RandomBytes(c.size)
			d := cas.DigestOf(content)
			if _, _, err := s.Put(t.Context(), cas.Upload{Body: bytes.NewReader(content), Size: int64(c.size), Digest: &d}); err != nil {
				t.Fatal(err)
			}
			if got, err := readAll(t.Context(), s, d, 0, -1); err != nil || !bytes.Equal(got, content) {
				t.Fatalf("before the damage: %d bytes, error %v", len(got), err)
			}
			server.Damage(t, cas.ObjectRef{Digest: d}, c.damage) // below MinIO, which knows the same ETag
			got, err := readAll(t.Context(), s, d, max(c.offset, 0), -1)
			if !errors.Is(err, cas.ErrObjectCorrupt) || c.offset < 0 && len(got) == c.size {
				t.Fatalf("%d bytes, error %v", len(got), err)
			}
			wantHealed(t, s, content)
		})
	}
}

func openSQLite(t testing.TB, dir string) *sqliteindex.Index {
	t.Helper()
	x, err := sqliteindex.Open(context.Background(), filepath.Join(dir, "index.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	if err := x.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return x
}

// What stands in an object's place, but can't be read, is damage.
func TestUnreadableObjectInTheFolder(t *testing.T) {
	for name, replace := range map[string]func(file string) error{
		"a link to itself": func(file string) error { return os.Symlink(filepath.Base(file), file) },
		"a link elsewhere": func(file string) error { return os.Symlink("/etc/hostname", file) },
		"a directory":      func(file string) error { return os.Mkdir(file, 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, cas.Options{HotBlobSize: -1})
			content := castest.RandomBytes(4096)
			d := put(t, h, content)
			file := filepath.Join(h.dir, "objects", filepath.FromSlash(cas.ObjectRef{Digest: d}.Key()))
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			if err := replace(file); err != nil {
				t.Fatal(err)
			}
			if _, err := h.read(d); !errors.Is(err, cas.ErrObjectCorrupt) {
				t.Fatalf("error %v", err)
			}
			wantHealed(t, h.store, content)
		})
	}
}

// failingReads makes the bodies of an object store fail.
type failingReads struct {
	cas.ObjectStore
	err    error
	broken bool // Check fails too
}

func (f *failingReads) Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	o, err := f.ObjectStore.Open(ctx, ref, offset, length)
	if err == nil && f.err != nil {
		o.Body = struct {
			io.Reader
			io.Closer
		}{iotest.ErrReader(f.err), o.Body}
	}
	return o, err
}

func (f *failingReads) Check(ctx context.Context) error {
	if f.broken {
		return f.err
	}
	return f.ObjectStore.Check(ctx)
}

// A disk that can't read one file has damaged it. A disk that can't do anything is
// an outage, and the blob stays live.
func TestBadSector(t *testing.T) {
	for name, size := range map[string]int{"small": 1000, "large": 300 << 10} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, cas.Options{})
			objects := &failingReads{ObjectStore: h.objects, err: &os.PathError{Op: "read", Path: "object", Err: syscall.EIO}, broken: true}
			s, err := cas.NewStore(objects, h.index, cas.Options{SpoolDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			content := castest.RandomBytes(size)
			d := put(t, h, content)
			if _, err := readAll(t.Context(), s, d, 0, -1); err == nil || errors.Is(err, cas.ErrObjectCorrupt) {
				t.Errorf("with a dead disk: %v", err)
			}
			if b, err := s.Blob(t.Context(), d); err != nil || b.State != cas.StateLive {
				t.Errorf("with a dead disk the blob is %q, error %v", b.State, err)
			}
			objects.broken = false
			if _, err := readAll(t.Context(), s, d, 0, -1); !errors.Is(err, cas.ErrObjectCorrupt) {
				t.Errorf("with a bad sector: %v", err)
			}
			objects.err = nil
			wantHealed(t, s, content)
		})
	}
}
