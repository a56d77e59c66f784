package folderstore_test

import (
	"bytes"
	"context"
	"errors"
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
