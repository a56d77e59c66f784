package folderstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/folderstore"
)

func open(t testing.TB, dir string) *folderstore.Store {
	t.Helper()
	s, err := folderstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestObjectStore(t *testing.T) {
	castest.RunObjectStore(t, func(t *testing.T) cas.ObjectStore { return open(t, t.TempDir()) })
}

func BenchmarkPut(b *testing.B) { castest.BenchmarkPut(b, open(b, b.TempDir())) }

func TestObjectsAreReadOnlyAndNothingElseStays(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	data := castest.RandomBytes(1000)
	ref := cas.ObjectRef{Digest: cas.DigestOf(data)}
	for _, body := range [][]byte{data[:500], data, data[:999], data} {
		// Only complete bodies succeed. The test checks what the others leave.
		_ = s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(body), ref.Digest, 1000))
	}
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 || files[0] != filepath.Join(dir, filepath.FromSlash(ref.Key())) {
		t.Fatalf("files in the store: %q, want just %s", files, ref.Key())
	}
	info, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o444 {
		t.Errorf("the object has mode %v, want 0444", info.Mode())
	}
}

func TestCleanRemovesUnfinishedObjectsOnly(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	data := castest.RandomBytes(1000)
	ref := cas.ObjectRef{Digest: cas.DigestOf(data)}
	if err := s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(data), ref.Digest, 1000)); err != nil {
		t.Fatal(err)
	}
	unfinished := filepath.Join(dir, "tmp", "left-by-a-crash")
	if err := os.WriteFile(unfinished, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Clean(time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(unfinished); err != nil {
		t.Fatalf("a young unfinished object, which may be a write under way, is gone: %v", err)
	}
	if err := s.Clean(0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(unfinished); !os.IsNotExist(err) {
		t.Errorf("the unfinished object is still there: %v", err)
	}
	o, err := s.Open(t.Context(), ref, 0, -1)
	if err != nil {
		t.Fatalf("the finished object is gone: %v", err)
	}
	o.Body.Close()
}

// Objects that are removed together are gone, those that can't be removed are reported, and
// others stay.
func TestDeleteAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	put := func() cas.ObjectRef {
		data := castest.RandomBytes(100)
		ref := cas.ObjectRef{Digest: cas.DigestOf(data)}
		if err := s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(data), ref.Digest, 100)); err != nil {
			t.Fatal(err)
		}
		return ref
	}
	refs := []cas.ObjectRef{{Digest: cas.DigestOf([]byte("missing"))}}
	for range 5 {
		refs = append(refs, put())
	}
	kept := put()
	stuck := cas.ObjectRef{Digest: cas.DigestOf([]byte("a folder with something in it"))}
	if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(stuck.Key()), "something"), 0o755); err != nil {
		t.Fatal(err)
	}

	left, err := s.DeleteAll(t.Context(), append(slices.Clone(refs), stuck))
	if len(left) != 1 || left[0] != stuck || !errors.Is(err, cas.ErrStoreUnavailable) {
		t.Errorf("%v is left, error %v; want %v", left, err, stuck)
	}
	for _, ref := range refs {
		if _, err := s.Stat(t.Context(), ref); !errors.Is(err, cas.ErrObjectMissing) {
			t.Errorf("an object is still there: error %v", err)
		}
	}
	if _, err := s.Stat(t.Context(), kept); err != nil {
		t.Errorf("another object: %v", err)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if left, err := s.DeleteAll(done, []cas.ObjectRef{kept}); len(left) != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is done %v is left, error %v", left, err)
	}
	if left, err := s.DeleteAll(t.Context(), nil); err != nil || len(left) != 0 {
		t.Errorf("of none %v is left, error %v", left, err)
	}
}

// Somebody may remove empty folders, such as one that was made for the object that is about
// to be published.
func TestPublishWhileItsFolderIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 20 {
		data := []byte(strconv.Itoa(i))
		ref := cas.ObjectRef{Digest: cas.DigestOf(data)}
		put, removed := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(removed)
			for os.Remove(filepath.Join(dir, filepath.FromSlash(path.Dir(ref.Key())))) != nil {
				select {
				case <-put:
					return
				default:
				}
			}
		}()
		err := s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(data), ref.Digest, int64(len(data))))
		close(put)
		<-removed
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Stat(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
}

// A draft for which room is reserved has only the bytes that were written.
func TestReservedDraftHasOnlyWhatWasWritten(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	data := castest.RandomBytes(3<<20 + 1)
	ref := cas.ObjectRef{Digest: cas.DigestOf(data)}
	draft, err := s.NewDraft()
	if err != nil {
		t.Fatal(err)
	}
	defer draft.Discard()
	if err := draft.Reserve(int64(len(data))); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{0, 1 << 20, len(data)} {
		if want > 0 {
			if _, err := draft.File.WriteAt(data[:want], 0); err != nil {
				t.Fatal(err)
			}
		}
		if info, err := draft.File.Stat(); err != nil || info.Size() != int64(want) {
			t.Fatalf("%d bytes, %v; want %d", info.Size(), err, want)
		}
	}
	if err := draft.Publish(ref, folderstore.Passing); err != nil {
		t.Fatal(err)
	}
	object, err := s.Open(t.Context(), ref, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	if got, err := io.ReadAll(object.Body); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// If somebody removes the folder of unfinished objects, the store makes it again. If all of its
// folder is removed, it does not.
func TestFolderOfUnfinishedObjectsIsRemoved(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	data := castest.RandomBytes(1000)
	ref := cas.ObjectRef{Digest: cas.DigestOf(data)}
	store := func() error {
		return s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(data), ref.Digest, 1000))
	}
	check := func() error { return s.Check(t.Context()) }
	mark := func() error { return s.SetMark(t.Context(), "a mark") }
	for name, write := range map[string]func() error{"Put": store, "Check": check, "SetMark": mark} {
		if err := os.RemoveAll(filepath.Join(dir, "tmp")); err != nil {
			t.Fatal(err)
		}
		if err := write(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := check(); !errors.Is(err, cas.ErrStoreUnavailable) {
		t.Errorf("without the folder: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is there again: %v", err)
	}
}
