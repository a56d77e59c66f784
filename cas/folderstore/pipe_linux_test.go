package folderstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/folderstore"
)

// A pipe in the place of a part's folder is an error, and nothing waits for a writer.
func TestPartThatIsAPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := folderstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ref := cas.ObjectRef{Digest: cas.DigestOf([]byte("bytes"))}
	part := filepath.Join(dir, filepath.Dir(filepath.FromSlash(ref.Key())))
	if err := errors.Join(os.MkdirAll(filepath.Dir(part), 0o700), syscall.Mkfifo(part, 0o600)); err != nil {
		t.Fatal(err)
	}
	listed := make(chan error, 1)
	go func() {
		_, err := s.ListPart(folderstore.PartOf(ref))
		listed <- err
	}()
	select {
	case err := <-listed:
		if err == nil {
			t.Error("a pipe has a list of objects")
		}
	case <-time.After(castest.WaitLimit):
		t.Fatal("the list waits")
	}
}
