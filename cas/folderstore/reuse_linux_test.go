package folderstore_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/folderstore"
)

// A retired object becomes a draft of another one, with room for that and no more.
func TestReuse(t *testing.T) {
	s, err := folderstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	old := castest.RandomBytes(2000)
	for _, size := range []int{0, 1, 1999, 2000, 5000} {
		ref := cas.ObjectRef{Digest: cas.DigestOf(old)}
		if err := s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(old), ref.Digest, int64(len(old)))); err != nil {
			t.Fatal(err)
		}
		retired, err := s.Retire(ref)
		if err != nil {
			t.Fatal(err)
		}
		draft, err := retired.Reuse(int64(size))
		if err != nil {
			t.Fatal(err)
		}
		if info, err := draft.File.Stat(); err != nil || info.Size() != int64(min(size, len(old))) {
			t.Errorf("a draft for %d bytes: %v, %v", size, info.Size(), err)
		}
		b := castest.RandomBytes(size)
		_, err = draft.File.WriteAt(b, 0)
		other := cas.ObjectRef{Digest: cas.DigestOf(b)}
		if err := errors.Join(err, draft.Publish(other, folderstore.Passing)); err != nil {
			t.Fatal(err)
		}
		draft.Discard()
		o, err := s.Open(t.Context(), other, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(o.Body)
		if err := errors.Join(err, o.Body.Close()); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes, want %d; %v", len(got), size, err)
		}
		if err := retired.Remove(); err != nil {
			t.Errorf("a removal of what was reused: %v", err)
		}
	}
}
