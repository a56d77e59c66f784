package folderstore_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/folderstore"
)

// Objects that were dropped are gone at once. A removal that was broken off goes on in the next call.
func TestRemoveDropped(t *testing.T) {
	s, err := folderstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := castest.RandomBytes(1000)
	ref := cas.ObjectRef{Digest: cas.DigestOf(b)}
	if err := s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(b), ref.Digest, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := s.DropAll(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(t.Context(), ref); !errors.Is(err, cas.ErrObjectMissing) {
		t.Errorf("of a dropped object: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for _, ctx := range []context.Context{ended, t.Context(), t.Context()} {
		if err := s.RemoveDropped(ctx); !errors.Is(err, ctx.Err()) {
			t.Errorf("the removal: %v", err)
		}
		if left, err := s.HasDropped(); err != nil || left != (ctx == ended) {
			t.Errorf("something is left: %t, %v", left, err)
		}
	}
}

// A retired object is gone at once. What was not removed after a crash is removed by Clean.
func TestRetire(t *testing.T) {
	dir := t.TempDir()
	s, err := folderstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	unfinished := func() int {
		entries, err := os.ReadDir(filepath.Join(dir, "tmp"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	b := castest.RandomBytes(1000)
	ref := cas.ObjectRef{Digest: cas.DigestOf(b)}
	if _, err := s.Retire(ref); err == nil {
		t.Error("a missing object was retired")
	}
	for _, isRemoved := range []bool{true, false} {
		if err := s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(b), ref.Digest, 1000)); err != nil {
			t.Fatal(err)
		}
		retired, err := s.Retire(ref)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Stat(t.Context(), ref); !errors.Is(err, cas.ErrObjectMissing) {
			t.Errorf("of a retired object: %v", err)
		}
		if n := unfinished(); n != 1 {
			t.Errorf("%d files on disk for a retired object, want 1", n)
		}
		if isRemoved {
			err = retired.Remove()
		} else {
			err = s.Clean(0)
		}
		if n := unfinished(); err != nil || n != 0 {
			t.Errorf("%d files on disk are left, %v", n, err)
		}
		if err := retired.Remove(); err != nil {
			t.Errorf("a second removal: %v", err)
		}
	}
}
