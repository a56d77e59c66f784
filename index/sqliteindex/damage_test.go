package sqliteindex_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"casgate/cas"
	"casgate/index/sqliteindex"
)

// The check finds pages that no read has met yet.
func TestCheckPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.sqlite")
	x, err := sqliteindex.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		d := cas.DigestOf(fmt.Append(nil, i))
		if _, _, err := x.Commit(t.Context(), cas.Blob{Digest: d, Size: 1, MediaType: "text/plain", Name: "a blob of the test"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.CheckPages(t.Context()); err != nil {
		t.Errorf("a whole file: %v", err)
	}
	x.Close() // writes everything into the file
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	last := bytes.LastIndex(whole, []byte("a blob of the test")) / page * page
	if last < page {
		t.Fatalf("no page holds the blobs: %d", last)
	}
	damaged := bytes.Clone(whole)
	copy(damaged[last:last+page], bytes.Repeat([]byte{0x5a}, page))
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if x, err = sqliteindex.Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := x.CheckPages(t.Context()); !errors.Is(err, sqliteindex.ErrDamaged) || !errors.Is(err, cas.ErrIndexUnavailable) {
		t.Errorf("a damaged page: %v", err)
	}
}

// A file whose header is damaged is told from one that can't be opened.
func TestOpenADamagedHeader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.sqlite")
	if err := os.WriteFile(path, bytes.Repeat([]byte{0x5a}, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	x, err := sqliteindex.Open(t.Context(), path)
	if err == nil {
		x.Close()
	}
	if !errors.Is(err, sqliteindex.ErrDamaged) || !errors.Is(err, cas.ErrIndexUnavailable) {
		t.Errorf("%v; want ErrDamaged and cas.ErrIndexUnavailable", err)
	}
}
