package collector_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/collector"
	"casgate/cas/folderstore"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3test"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
	"casgate/index/sqliteindex/sqlitetest"
	"casgate/providers/ledger"
)

// index is what the tests need of an index driver.
type index interface {
	cas.Index
	cas.TextIndex
	collector.Index
	collector.OrphanIndex
	ledger.Store
	Migrate(ctx context.Context) error
	Close()
}

// world is a store on real drivers, whose calls can fail.
type world struct {
	t       testing.TB
	index   *faultyIndex
	objects *castest.Faulty
	lister  collector.Lister
	store   *cas.Store
	copies  *copies
	batches collector.BatchObjects
	share   float64
}

// setups runs a test on each set-up: embedded, and served. Between two edits the embedded
// one does.
func setups(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("embedded", func(t *testing.T) { t.Parallel(); test(t, embedded(t)) })
	if castest.Thorough(1, 0) == 1 {
		t.Run("served", func(t *testing.T) { t.Parallel(); test(t, served(t)) })
	}
}

func embedded(t testing.TB) *world {
	dir := t.TempDir()
	objects, err := folderstore.Open(filepath.Join(dir, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { objects.Close() })
	w := newWorld(t, sqlitetest.Open(t, filepath.Join(dir, "index.sqlite")), objects)
	w.batches = objects
	return w
}

func served(t testing.TB) *world {
	objects, err := s3store.New(s3test.NewBucket(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(objects.Close)
	x, err := pgindex.Open(t.Context(), pgindex.Options{URL: pgtest.New(t), CallTimeout: castest.WaitLimit})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, x, objects)
	w.batches, w.share = objects, collector.ServingShare
	return w
}

// objectStore is an object store that lists its objects.
type objectStore interface {
	cas.ObjectStore
	collector.Lister
}

func newWorld(t testing.TB, x index, objects objectStore) *world {
	t.Cleanup(x.Close)
	w := &world{t: t, index: &faultyIndex{index: x}, objects: castest.NewFaulty(objects), lister: objects, copies: &copies{}}
	var err error
	if w.store, err = cas.NewStore(w.objects, x, cas.Options{SpoolDir: t.TempDir(), HotBlobSize: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.store.Close)
	return w
}

// shortLease lets a collection take up at once what an earlier one has left.
const shortLease = 4 * time.Millisecond

// collector makes a collector without grace.
func (w *world) collector(change func(o *collector.Options)) *collector.Collector {
	o := collector.Options{
		Index: w.index, Objects: w.objects, Copies: w.copies, Texts: cas.Texts{Index: w.index, Blobs: w.index}, Lease: shortLease,
	}
	if change != nil {
		change(&o)
	}
	return collector.New(o)
}

// collect collects everything that is due.
func (w *world) collect() {
	w.t.Helper()
	c := w.collector(nil)
	castest.Eventually(w.t, "the end of all collections", func() bool {
		if _, err := c.Collect(w.t.Context()); err != nil && !errors.Is(err, collector.ErrRunning) {
			w.t.Fatal(err)
		}
		due, err := c.Survey(w.t.Context(), 0)
		if err != nil {
			w.t.Fatal(err)
		}
		return due.Blobs == 0
	})
}

// put stores bytes.
func (w *world) put(b []byte) cas.Digest {
	w.t.Helper()
	d := cas.DigestOf(b)
	if _, _, err := w.store.Put(w.t.Context(), cas.Upload{Body: bytes.NewReader(b), Size: int64(len(b)), Digest: &d}); err != nil {
		w.t.Fatal(err)
	}
	return d
}

// remove deletes a blob.
func (w *world) remove(d cas.Digest) {
	w.t.Helper()
	if err := w.store.Delete(w.t.Context(), d, cas.CondemnOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// wantBlob fails the test unless the blob is readable.
func (w *world) wantBlob(b []byte) cas.Blob {
	w.t.Helper()
	blob, err := w.store.Blob(w.t.Context(), cas.DigestOf(b))
	if err != nil {
		w.t.Fatalf("the blob must be readable: %v", err)
	}
	c, err := w.store.OpenVerified(w.t.Context(), blob)
	if err != nil {
		w.t.Fatalf("the blob must be readable: %v", err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c.Body); err != nil || !bytes.Equal(got, b) {
		w.t.Fatalf("%d bytes came, error %v; want %d", len(got), err, len(b))
	}
	return blob
}

// wantNoBlob fails the test if readers see the blob.
func (w *world) wantNoBlob(d cas.Digest) {
	w.t.Helper()
	if _, err := w.store.Blob(w.t.Context(), d); !errors.Is(err, cas.ErrBlobNotFound) {
		w.t.Errorf("a deleted blob: error %v", err)
	}
}

// wantObjects fails the test unless exactly these generations of a blob have objects.
func (w *world) wantObjects(d cas.Digest, generations ...int32) {
	w.t.Helper()
	want := map[int32]bool{}
	for _, g := range generations {
		want[g] = true
	}
	for g := range int32(4) {
		object, err := w.objects.Open(w.t.Context(), cas.ObjectRef{Digest: d, Generation: g}, 0, -1)
		switch {
		case err == nil:
			object.Body.Close()
			if !want[g] {
				w.t.Errorf("the object of generation %d is still there", g)
			}
		case !errors.Is(err, cas.ErrObjectMissing):
			w.t.Errorf("generation %d: %v", g, err)
		case want[g]:
			w.t.Errorf("there is no object of generation %d", g)
		}
	}
}

// copies counts the blobs whose copies are deleted.
type copies struct {
	deleted map[cas.Digest]int
	hook    func(d cas.Digest) error
}

// DeleteCopies implements collector.Copies.
func (c *copies) DeleteCopies(_ context.Context, d cas.Digest) error {
	if c.hook != nil {
		if err := c.hook(d); err != nil {
			return err
		}
	}
	if c.deleted == nil {
		c.deleted = map[cas.Digest]int{}
	}
	c.deleted[d]++
	return nil
}

// faultyIndex is an index whose writes by the collector can fail.
type faultyIndex struct {
	index
	// fail says whether the next call of an operation fails, and whether it is applied
	// nevertheless.
	fail func(op string) (fails, applied bool)
	// dueNow, if set, is what Due returns.
	dueNow *collector.Due
	runs   sync.Map // the ids of saved runs
}

func (x *faultyIndex) Due(ctx context.Context, q collector.DueQuery) (collector.Due, error) {
	if x.dueNow != nil {
		return *x.dueNow, nil
	}
	return x.index.Due(ctx, q)
}

// write does a write as fail says.
func (x *faultyIndex) write(op string, call func() error) error {
	fails, applied := false, false
	if x.fail != nil {
		fails, applied = x.fail(op)
	}
	if !fails {
		return call()
	}
	if applied {
		if err := call(); err != nil {
			return err
		}
	}
	return cas.ErrIndexUnavailable
}

func (x *faultyIndex) StartDeleting(ctx context.Context, b collector.Batch) (objects []collector.Object, err error) {
	err = x.write("start", func() (err error) { objects, err = x.index.StartDeleting(ctx, b); return err })
	if err != nil {
		return nil, err
	}
	return objects, nil
}

func (x *faultyIndex) FinishDeleting(ctx context.Context, refs ...cas.ObjectRef) error {
	return x.write("finish", func() error { return x.index.FinishDeleting(ctx, refs...) })
}

func (x *faultyIndex) SaveRun(ctx context.Context, run collector.Run, lease time.Duration) (held bool, err error) {
	op := "save"
	if _, isKnown := x.runs.LoadOrStore(run.ID, true); isKnown && lease > 0 {
		op = "extend" // how often depends on the time
	}
	err = x.write(op, func() (err error) { held, err = x.index.SaveRun(ctx, run, lease); return err })
	return held && err == nil, err
}

func (x *faultyIndex) Condemn(ctx context.Context, d cas.Digest, o cas.CondemnOptions) error {
	return x.write("condemn", func() error { return x.index.Condemn(ctx, d, o) })
}
