package reindexer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/folderstore"
	"casgate/cas/reindexer"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3test"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
	"casgate/index/sqliteindex"
)

// index is what the tests need of an index driver.
type index interface {
	cas.Index
	reindexer.Index
	Migrate(ctx context.Context) error
	Close()
}

// objectStore is an object store that lists its objects.
type objectStore interface {
	cas.ObjectStore
	List(ctx context.Context) iter.Seq2[cas.ObjectInfo, error]
}

// world is an object store, and a way to make an empty index.
type world struct {
	t        testing.TB
	objects  objectStore
	newIndex func() index
	dir      string // of a folder
}

// setups runs a test on each set-up: embedded, and served.
func setups(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		objects, err := folderstore.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { objects.Close() })
		test(t, &world{t: t, objects: objects, dir: dir, newIndex: func() index {
			x, err := sqliteindex.Open(t.Context(), filepath.Join(t.TempDir(), "index.sqlite"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(x.Close)
			if err := x.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			return x
		}})
	})
	if castest.Thorough(1, 0) == 0 {
		return // between two edits the embedded set-up does
	}
	t.Run("served", func(t *testing.T) {
		t.Parallel()
		objects, err := s3store.New(s3test.NewBucket(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(objects.Close)
		test(t, &world{t: t, objects: objects, newIndex: func() index {
			x, err := pgindex.Open(t.Context(), pgindex.Options{URL: pgtest.New(t), CallTimeout: castest.WaitLimit})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(x.Close)
			return x
		}})
	})
}

// store opens a store on an index.
func (w *world) store(x cas.Index) *cas.Store {
	w.t.Helper()
	s, err := cas.NewStore(w.objects, x, cas.Options{SpoolDir: w.t.TempDir(), HotBlobSize: -1})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Close)
	return s
}

func put(t testing.TB, s *cas.Store, content string) cas.Digest {
	t.Helper()
	b, _, err := s.Put(t.Context(), cas.Upload{Body: bytes.NewReader([]byte(content)), Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	return b.Digest
}

// putObject writes an object, as an upload does that ends before its commit.
func (w *world) putObject(content string, generation int32) cas.ObjectRef {
	w.t.Helper()
	ref := cas.ObjectRef{Digest: cas.DigestOf([]byte(content)), Generation: generation}
	body := cas.NewVerifyingReader(bytes.NewReader([]byte(content)), ref.Digest, int64(len(content)))
	if err := w.objects.Put(w.t.Context(), ref, body); err != nil {
		w.t.Fatal(err)
	}
	return ref
}

func wantReadable(t testing.TB, s *cas.Store, d cas.Digest, content string) {
	t.Helper()
	b, err := s.Blob(t.Context(), d)
	if err != nil {
		t.Errorf("%q is not readable: %v", content, err)
		return
	}
	c, err := s.OpenVerified(t.Context(), b)
	if err != nil {
		t.Errorf("%q is not readable: %v", content, err)
		return
	}
	defer c.Close()
	if got, err := io.ReadAll(c.Body); err != nil || string(got) != content {
		t.Errorf("%q is read as %q, error %v", content, got, err)
	}
}

// problems collects the reported objects.
type problems struct {
	mu   sync.Mutex
	refs []cas.ObjectRef
}

func (p *problems) add(problem reindexer.Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refs = append(p.refs, problem.Object)
}

// The index is lost. Each blob is readable again, also under a higher generation.
func TestLostIndex(t *testing.T) {
	t.Parallel()
	setups(t, func(t *testing.T, w *world) {
		stored := map[cas.Digest]string{}
		first := w.store(w.newIndex())
		for i := range 30 {
			content := fmt.Sprintf("blob %d", i)
			stored[put(t, first, content)] = content
		}
		stored[put(t, first, "")] = ""
		w.putObject("older", 0)
		stored[w.putObject("older", 2).Digest] = "older"

		x := w.newIndex()
		run := func(o reindexer.Options) reindexer.Counts {
			t.Helper()
			o.Objects, o.Index = w.objects, x
			o.Report = func(p reindexer.Problem) { t.Errorf("reported: %+v", p) }
			counts, err := reindexer.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			return counts
		}
		want := int64(len(stored))
		if c := run(reindexer.Options{DryRun: true}); c.Adopted != want || c.Objects != want+1 || c.Known != 1 {
			t.Errorf("the dry run: %+v", c)
		}
		if page, err := x.List(t.Context(), cas.Query{Limit: 10}); err != nil || len(page) > 0 {
			t.Errorf("a dry run made %d rows, error %v", len(page), err)
		}
		if c := run(reindexer.Options{}); c.Adopted != want || c.Known != 1 {
			t.Errorf("the run: %+v", c)
		}
		if c := run(reindexer.Options{}); c.Adopted != 0 || c.Known != want+1 || c.Hashed != 0 {
			t.Errorf("the second run: %+v", c)
		}
		second := w.store(x)
		for d, content := range stored {
			wantReadable(t, second, d, content)
		}
		if b, err := x.Blob(t.Context(), cas.DigestOf([]byte("older"))); err != nil || b.Generation != 2 {
			t.Errorf("of two generations %d is adopted, error %v", b.Generation, err)
		}
	})
}

// Objects whose bytes, size or key are wrong are reported, and not adopted.
func TestWrongObjects(t *testing.T) {
	t.Parallel()
	setups(t, func(t *testing.T, w *world) {
		right := w.putObject("right", 0)
		var wrong []cas.ObjectRef
		if w.dir != "" { // only a folder lets a test write what it likes
			for i, content := range []string{"flipped", "cut", ""} {
				ref := w.putObject(fmt.Sprintf("wrong %d", i), 0)
				path := filepath.Join(w.dir, filepath.FromSlash(ref.Key()))
				if err := os.Chmod(path, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				wrong = append(wrong, ref)
			}
		}
		objects := &lyingStore{objectStore: w.objects, size: w.putObject("another size", 0), digest: w.putObject("another checksum", 0)}
		wrong = append(wrong, objects.size, objects.digest)
		x, found := w.newIndex(), &problems{}
		counts, err := reindexer.Run(t.Context(), reindexer.Options{Objects: objects, Index: x, Report: found.add})
		if err != nil || counts.Adopted != 1 || counts.Wrong != int64(len(wrong)) || len(found.refs) != len(wrong) {
			t.Errorf("%+v, error %v; reported %v", counts, err, found.refs)
		}
		for _, ref := range wrong {
			if _, err := x.Blob(t.Context(), ref.Digest); !errors.Is(err, cas.ErrBlobNotFound) {
				t.Errorf("a wrong object is adopted: error %v", err)
			}
		}
		if _, err := x.Blob(t.Context(), right.Digest); err != nil {
			t.Error(err)
		}
	})
}

// lyingStore says of two objects what is not true.
type lyingStore struct {
	objectStore
	size, digest cas.ObjectRef
}

func (s *lyingStore) Stat(ctx context.Context, ref cas.ObjectRef) (cas.ObjectStat, error) {
	stat, err := s.objectStore.Stat(ctx, ref)
	switch ref {
	case s.size:
		stat.Size++
	case s.digest:
		stat.Digest = cas.DigestOf([]byte("other bytes"))
	}
	return stat, err
}

// A run that was interrupted continues, whether its last write was applied or not. An
// outage ends it.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	setups(t, func(t *testing.T, w *world) {
		const blobs = 260 // more than a batch
		for i := range blobs {
			w.putObject(fmt.Sprintf("blob %d", i), 0)
		}
		x := w.newIndex()
		for _, applied := range []bool{false, true} {
			faulty := &faultyIndex{index: x, applied: applied}
			counts, err := reindexer.Run(t.Context(), reindexer.Options{Objects: w.objects, Index: faulty})
			if !errors.Is(err, cas.ErrIndexUnavailable) || counts.Adopted != 0 {
				t.Errorf("%+v, error %v", counts, err)
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		if _, err := reindexer.Run(ctx, reindexer.Options{Objects: w.objects, Index: x, OnAdopt: func([]cas.Blob) { stop() }}); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: error %v", err)
		}
		counts, err := reindexer.Run(t.Context(), reindexer.Options{Objects: w.objects, Index: x})
		if err != nil || counts.Adopted+counts.Known != blobs || counts.Adopted == 0 || counts.Adopted >= blobs {
			t.Errorf("%+v, error %v", counts, err)
		}
		if missing, err := x.Missing(t.Context(), []cas.Digest{cas.DigestOf([]byte("blob 0")), cas.DigestOf([]byte("blob 259"))}); err != nil || len(missing) > 0 {
			t.Errorf("%v are missing, error %v", missing, err)
		}
	})
}

// faultyIndex fails with each write.
type faultyIndex struct {
	index
	applied bool // it is done nevertheless
}

func (x *faultyIndex) AdoptBlobs(ctx context.Context, blobs []cas.Blob) ([]cas.ObjectRef, error) {
	if x.applied {
		if _, err := x.index.AdoptBlobs(ctx, blobs); err != nil {
			return nil, err
		}
	}
	return nil, cas.ErrIndexUnavailable
}

// Gateways serve meanwhile: what they write between two steps of a run wins.
func TestRowsOfOthersWin(t *testing.T) {
	t.Parallel()
	setups(t, func(t *testing.T, w *world) {
		x := w.newIndex()
		s := w.store(x)
		uploaded := w.putObject("uploaded", 0)
		deleted := w.putObject("deleted", 0)
		removed := w.putObject("removed", 0)
		counts, err := reindexer.Run(t.Context(), reindexer.Options{
			Objects: &removingStore{w.objects, removed}, Index: x,
			OnAdopt: func([]cas.Blob) {
				put(t, s, "uploaded")
				put(t, s, "deleted")
				if err := s.Delete(t.Context(), deleted.Digest, cas.CondemnOptions{}); err != nil {
					t.Error(err)
				}
			},
		})
		if err != nil || counts.Adopted != 0 || counts.Known != 2 || counts.Gone != 1 {
			t.Errorf("%+v, error %v", counts, err)
		}
		wantReadable(t, s, uploaded.Digest, "uploaded")
		for _, ref := range []cas.ObjectRef{deleted, removed} {
			if _, err := x.Blob(t.Context(), ref.Digest); !errors.Is(err, cas.ErrBlobNotFound) {
				t.Errorf("a deleted blob came back: error %v", err)
			}
		}
	})
}

// removingStore loses an object after it was listed.
type removingStore struct {
	objectStore
	removed cas.ObjectRef
}

func (s *removingStore) Stat(ctx context.Context, ref cas.ObjectRef) (cas.ObjectStat, error) {
	if ref == s.removed {
		if err := s.Delete(ctx, ref); err != nil {
			return cas.ObjectStat{}, err
		}
	}
	return s.objectStore.Stat(ctx, ref)
}

// An outage of the store in the middle of an object ends the run with an error.
func TestStoreOutage(t *testing.T) {
	t.Parallel()
	setups(t, func(t *testing.T, w *world) {
		w.putObject("blob", 0)
		objects := &outage{objectStore: w.objects}
		counts, err := reindexer.Run(t.Context(), reindexer.Options{Objects: objects, Index: w.newIndex()})
		if !errors.Is(err, cas.ErrStoreUnavailable) || counts.Wrong != 0 {
			t.Errorf("%+v, error %v", counts, err)
		}
	})
}

// outage is a store that lists, and answers nothing else.
type outage struct{ objectStore }

func (outage) Stat(context.Context, cas.ObjectRef) (cas.ObjectStat, error) {
	return cas.ObjectStat{}, cas.ErrStoreUnavailable
}

// In the background, orphans are adopted once they are old enough. Deleted blobs stay
// deleted, and a wrong store is left alone.
func TestBackground(t *testing.T) {
	t.Parallel()
	setups(t, func(t *testing.T, w *world) {
		x := w.newIndex()
		s := w.store(x)
		orphan := w.putObject("orphan", 0)
		older, newer := w.putObject("renewed", 0), w.putObject("renewed", 2)
		// The only bytes of a blob whose row names another generation.
		only := w.putObject("only bytes", 0)
		if _, err := x.AdoptBlobs(t.Context(), []cas.Blob{{Digest: only.Digest, Size: 10, Generation: 1, CreatedAt: time.Now().UTC(), MediaType: cas.DefaultMediaType}}); err != nil {
			t.Fatal(err)
		}
		has := func(ref cas.ObjectRef) bool {
			_, err := w.objects.Stat(t.Context(), ref)
			if err != nil && !errors.Is(err, cas.ErrObjectMissing) {
				t.Error(err)
			}
			return err == nil
		}
		deleted := put(t, s, "deleted")
		if err := s.Delete(t.Context(), deleted, cas.CondemnOptions{}); err != nil {
			t.Fatal(err)
		}
		run := func(age time.Duration, wrongStore error, until func() bool) {
			t.Helper()
			ctx, stop := context.WithCancel(t.Context())
			var looks atomic.Int64
			ended := make(chan error)
			go func() {
				ended <- reindexer.Background{
					Options: reindexer.Options{Objects: w.objects, Index: x, MinAge: age, Remove: w.objects.Delete}, Every: time.Millisecond,
					CheckStore: func(context.Context) error { looks.Add(1); return wrongStore },
				}.Run(ctx)
			}()
			castest.Eventually(t, "the adoption", func() bool { return looks.Load() > 2 && until() })
			stop()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("Run ended with %v", err)
			}
		}
		isAdopted := func() bool { _, err := x.Blob(t.Context(), orphan.Digest); return err == nil }
		run(time.Hour, nil, func() bool { return true })
		run(0, errors.New("another store"), func() bool { return true })
		if isAdopted() || !has(older) {
			t.Error("an object is adopted or removed that is young, or in another store")
		}
		run(0, nil, func() bool { return isAdopted() && !has(older) })
		if !has(newer) || !has(only) {
			t.Error("the bytes of a blob are removed")
		}
		wantReadable(t, s, orphan.Digest, "orphan")
		if _, err := x.Blob(t.Context(), deleted); !errors.Is(err, cas.ErrBlobNotFound) {
			t.Errorf("a deleted blob came back: error %v", err)
		}
	})
}
