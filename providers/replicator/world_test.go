package replicator_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/folderstore"
	"casgate/index/sqliteindex/sqlitetest"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

func TestMain(m *testing.M) {
	castest.Overlap()
	castest.Histories(15, 5) // each makes a database
	goleak.VerifyTestMain(m)
}

// world has the parts that replicators share: blobs, a ledger, a provider.
type world struct {
	dir    string
	store  *cas.Store
	ledger ledger.Store
	depot  *depot
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	files, err := folderstore.Open(filepath.Join(dir, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	castest.Cleanup(t, func() { files.Close() })
	x := sqlitetest.Open(t, filepath.Join(dir, "index.sqlite"))
	store, err := cas.NewStore(files, x, cas.Options{SpoolDir: dir, HotBytes: 1 << 20, Remembered: 1000})
	if err != nil {
		t.Fatal(err)
	}
	castest.Cleanup(t, store.Close)
	return &world{dir: dir, store: store, ledger: x, depot: newDepot()}
}

// replicator starts one; set changes its options.
func (w *world) replicator(t testing.TB, set func(*replicator.Options)) *replicator.Replicator {
	t.Helper()
	o := replicator.Options{
		Blobs: w.store, Ledger: w.ledger, Providers: []providers.Guarded{w.depot},
		PollInterval: 50 * time.Millisecond, HandedOut: time.Nanosecond, Log: zerolog.New(zerolog.NewTestWriter(t)),
		SignURL: func(_ context.Context, r replicator.URLRequest) (string, error) {
			return "https://files.example/" + r.Digest.String(), nil
		},
	}
	if set != nil {
		set(&o)
	}
	r, err := replicator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	castest.Cleanup(t, r.Close)
	return r
}

// run lets a replicator do its background work until the test ends.
func run(t testing.TB, r *replicator.Replicator) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Run(ctx) // ctx's error
	}()
	castest.Cleanup(t, func() { stop(); <-ended })
}

// put stores a blob.
func (w *world) put(t testing.TB, content, name string) cas.Digest {
	t.Helper()
	b, _, err := w.store.Put(t.Context(), cas.Upload{Body: bytes.NewReader([]byte(content)), Size: int64(len(content)), Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return b.Digest
}

// want is a request for a copy of a blob.
func want(d cas.Digest) replicator.Request {
	return replicator.Request{Digest: d, Provider: "depot", OperationID: "op-" + d.Short()}
}

// ensure fails the test where there is no copy to be had.
func ensure(t testing.TB, r *replicator.Replicator, q replicator.Request) ledger.Copy {
	t.Helper()
	c, _, err := r.Ensure(t.Context(), q)
	if err != nil {
		t.Fatalf("Ensure: %v", err)
	}
	if c.State != ledger.StateReady || c.FileID == "" {
		t.Fatalf("Ensure gave a copy that is %s, with file id %q", c.State, c.FileID)
	}
	return c
}

// row returns the ledger's row of a copy.
func (w *world) row(t testing.TB, k ledger.Key) ledger.Copy {
	t.Helper()
	c, err := w.ledger.Copy(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mark returns the installation's mark.
func (w *world) mark(t testing.TB) providers.Mark {
	t.Helper()
	m, err := w.ledger.Mark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var eventually = castest.Eventually

// gate holds calls until it is opened.
type gate struct {
	reached chan struct{} // one for each call that got there
	opened  chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}, 1000), make(chan struct{})} }

// pass waits until the gate is open.
func (g *gate) pass(ctx context.Context) error {
	g.reached <- struct{}{}
	select {
	case <-g.opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) open() { close(g.opened) }

// damage changes the stored bytes of a blob.
func (w *world) damage(t testing.TB, d cas.Digest) {
	t.Helper()
	file := filepath.Join(w.dir, "objects", filepath.FromSlash(cas.ObjectRef{Digest: d}.Key()))
	b, err := os.ReadFile(file)
	if err == nil {
		b[len(b)/2] ^= 1
		err = os.Chmod(file, 0o644)
	}
	if err == nil {
		err = os.WriteFile(file, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
