package wiring

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/folderstore"
	"casgate/index/sqliteindex"
	"casgate/providers/replicator"
)

// countingSigner makes another URL each time, as the time of a signature does.
type countingSigner struct {
	made int
	more string // of each URL
}

func (c *countingSigner) PresignGet(_ context.Context, b cas.Blob, _ time.Duration) (string, error) {
	c.made++
	return fmt.Sprintf("https://bucket.example/%s?n=%d%s", b.Name, c.made, c.more), nil
}

func TestPresignedURLsAreKept(t *testing.T) {
	objects, err := folderstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	x, err := sqliteindex.Open(t.Context(), filepath.Join(t.TempDir(), "index.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := x.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	store, err := cas.NewStore(objects, x, cas.Options{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	b, _, err := store.Put(t.Context(), cas.Upload{Body: strings.NewReader("x"), Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	signer := &countingSigner{}
	p := &Presigner{Store: store, Objects: signer}
	at := func(name string, expires time.Time) string {
		address, err := p.URL(t.Context(), replicator.URLRequest{Digest: b.Digest, Name: name, Expires: expires})
		if err != nil {
			t.Fatal(err)
		}
		return address
	}
	soon, later := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	first := at("a", soon)
	if again := at("a", soon); again != first {
		t.Errorf("%s, and then %s", first, again)
	}
	if other := at("b", soon); other == first {
		t.Error("another name has the same URL")
	}
	if next := at("a", later); next == first {
		t.Error("the URL outlives its step")
	}
	// The credentials of a role pass.
	signer.more = "&X-Amz-Security-Token=t"
	if one, two := at("c", later), at("c", later); one == two {
		t.Error("a URL of passing credentials was kept")
	}
}
