package cas

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func body(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func TestSpoolTakesEverySize(t *testing.T) {
	dir := t.TempDir()
	s := newSpool(dir, 0)
	for _, n := range []int{0, 1, DetectLen, smallBuffer - 1, smallBuffer, smallBuffer + 1, SpoolMemory - 1, SpoolMemory, SpoolMemory + 1, 3*SpoolMemory + 5} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"plain": func(r io.Reader) io.Reader { return r }, "half": iotest.HalfReader, "eof with data": iotest.DataErrReader,
		} {
			want := body(n)
			b, err := s.take(wrap(bytes.NewReader(want)), 1<<40)
			if err != nil {
				t.Fatalf("%d bytes, %s: %v", n, name, err)
			}
			if b.size != int64(n) || b.digest != DigestOf(want) || b.sniffed().format.String() != sniff(want).format.String() {
				t.Fatalf("%d bytes, %s: size %d, digest right: %t", n, name, b.size, b.digest == DigestOf(want))
			}
			for range 2 {
				if got, err := io.ReadAll(b.reader()); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%d bytes, %s: read back %d, %v", n, name, len(got), err)
				}
			}
			if n <= SpoolMemory-1 && b.file != nil {
				t.Errorf("%d bytes went to a file", n)
			}
			b.Close()
		}
	}
	if left := s.used.Load(); left != 0 {
		t.Errorf("%d bytes are still accounted for", left)
	}
	wantEmpty(t, dir)
}

// A spool goes on after somebody has removed its folder.
func TestSpoolFolderIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	want := body(3 * SpoolMemory)
	b, err := newSpool(dir, 0).take(bytes.NewReader(want), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got, err := io.ReadAll(b.reader()); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read back %d bytes, %v", len(got), err)
	}
	wantEmpty(t, dir)
}

// A spool folder that can't be used is no outage of the store, and no full disk. The error names
// the folder.
func TestSpoolFolderIsUnusable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"a file on disk": file, "without the folder above it": filepath.Join(file+"s", "spool")} {
		s := newSpool(dir, 0)
		_, taken := s.take(bytes.NewReader(body(3*SpoolMemory)), 1<<40)
		for _, err := range []error{taken, s.check()} {
			if !errors.Is(err, ErrSpoolUnusable) || errors.Is(err, ErrStoreUnavailable) || errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if b, err := s.take(bytes.NewReader(body(SpoolMemory-1)), 1<<40); err != nil {
			t.Errorf("%s: a body that fits into memory: %v", name, err)
		} else {
			b.Close()
		}
	}
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) > 0 {
		t.Errorf("%d files are left in the spool folder", len(entries))
	}
}

func TestSpoolRefuses(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("broken")
	for _, n := range []int{0, 10, smallBuffer, SpoolMemory, 2 * SpoolMemory} {
		s := newSpool(dir, 0)
		for name, tt := range map[string]struct {
			src  io.Reader
			most int64
			want error
		}{
			"a source that fails":               {io.MultiReader(bytes.NewReader(body(n)), iotest.ErrReader(broken)), 1 << 40, broken},
			"a truncated HTTP body":             {io.MultiReader(bytes.NewReader(body(n)), iotest.ErrReader(io.ErrUnexpectedEOF)), 1 << 40, io.ErrUnexpectedEOF},
			"one byte more than allowed":        {bytes.NewReader(body(n + 1)), int64(n), ErrBlobTooLarge},
			"an endless body, before it's read": {io.MultiReader(bytes.NewReader(body(n+1)), endless{}), int64(n), ErrBlobTooLarge},
		} {
			b, err := s.take(tt.src, tt.most)
			if !errors.Is(err, tt.want) {
				t.Errorf("%s after %d bytes: got %v, %v", name, n, b, err)
			}
		}
		if left := s.used.Load(); left != 0 {
			t.Errorf("%d bytes are still accounted for", left)
		}
	}
	wantEmpty(t, dir)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestSpoolLimitIsSharedAndGivenBack(t *testing.T) {
	s := newSpool(t.TempDir(), 3*SpoolMemory)
	first, err := s.take(bytes.NewReader(body(2*SpoolMemory)), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.take(bytes.NewReader(body(2*SpoolMemory)), 1<<40); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("beyond the limit: %v", err)
	}
	first.Close()
	second, err := s.take(bytes.NewReader(body(2*SpoolMemory)), 1<<40)
	if err != nil {
		t.Fatalf("after room was made: %v", err)
	}
	second.Close()
}
