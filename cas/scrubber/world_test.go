package scrubber_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/collector"
	"casgate/cas/folderstore"
	"casgate/cas/folderstore/foldersource"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3test"
	"casgate/cas/scrubber"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
	"casgate/index/sqliteindex/sqlitetest"
)

func TestMain(m *testing.M) {
	castest.Overlap()
	os.Exit(m.Run())
}

// index is what the tests need of an index driver.
type index interface {
	cas.Index
	collector.Index
	scrubber.Index
	Migrate(ctx context.Context) error
	Close()
}

// world is a store on real drivers, whose objects can be damaged.
type world struct {
	t       *testing.T
	index   index
	objects *castest.Faulty
	store   *cas.Store
	// replace changes the bytes of an object behind the store's back: nil removes it.
	replace func(t *testing.T, ref cas.ObjectRef, b []byte)
	// rot changes the bytes on the disk of the object store itself; nil if it can't.
	rot func(t *testing.T, ref cas.ObjectRef, change func([]byte) []byte)

	mu    sync.Mutex
	found []scrubber.Result
}

// setups runs a test on each set-up: embedded, and served. Between two edits the embedded
// one does.
func setups(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("embedded", func(t *testing.T) { t.Parallel(); test(t, embedded(t)) })
	if castest.Thorough(1, 0) == 1 {
		t.Run("served", func(t *testing.T) { t.Parallel(); test(t, served(t, s3test.NewBucket(t))) })
	}
}

func embedded(t *testing.T) *world {
	dir := t.TempDir()
	objects, err := folderstore.Open(filepath.Join(dir, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { objects.Close() })
	x := sqlitetest.Open(t, filepath.Join(dir, "index.sqlite"))
	w := newWorld(t, x, objects)
	w.replace = func(t *testing.T, ref cas.ObjectRef, b []byte) {
		t.Helper()
		name := filepath.Join(dir, "objects", filepath.FromSlash(ref.Key()))
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if b != nil {
			if err := os.WriteFile(name, b, 0o444); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.rot = func(t *testing.T, ref cas.ObjectRef, change func([]byte) []byte) {
		t.Helper()
		name := filepath.Join(dir, "objects", filepath.FromSlash(ref.Key()))
		old, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		w.replace(t, ref, change(old))
	}
	return w
}

func served(t *testing.T, bucket s3store.Options) *world {
	objects, err := s3store.New(bucket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(objects.Close)
	x, err := pgindex.Open(t.Context(), pgindex.Options{URL: pgtest.New(t), CallTimeout: castest.WaitLimit})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, x, objects)
	client := checksumClient(t, bucket)
	w.replace = func(t *testing.T, ref cas.ObjectRef, b []byte) {
		t.Helper()
		err := client.RemoveObject(t.Context(), bucket.Bucket, ref.Key(), minio.RemoveObjectOptions{})
		if err == nil && b != nil {
			_, err = client.PutObject(t.Context(), bucket.Bucket, ref.Key(), bytes.NewReader(b), int64(len(b)), minio.PutObjectOptions{Checksum: minio.ChecksumSHA256})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// checksumClient is a plain client that stores checksums with its objects.
func checksumClient(t *testing.T, bucket s3store.Options) *minio.Client {
	t.Helper()
	client, err := minio.New(strings.TrimPrefix(bucket.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(bucket.AccessKey, bucket.SecretKey, ""), Region: "us-east-1", TrailingHeaders: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func newWorld(t *testing.T, x index, objects cas.ObjectStore) *world {
	t.Cleanup(x.Close)
	w := &world{t: t, index: x, objects: castest.NewFaulty(objects)}
	var err error
	if w.store, err = cas.NewStore(w.objects, x, cas.Options{SpoolDir: t.TempDir(), HotBlobSize: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.store.Close)
	return w
}

// scrubber makes a scrubber that notes its results.
func (w *world) scrubber(change func(o *scrubber.Options)) *scrubber.Scrubber {
	o := scrubber.Options{Index: w.index, Objects: w.objects, Notify: w.note, Lease: time.Second}
	if change != nil {
		change(&o)
	}
	return scrubber.New(o)
}

func (w *world) note(r scrubber.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found = append(w.found, r)
}

// scrub checks everything, and fails the test on an error.
func (w *world) scrub(change func(o *scrubber.Options)) scrubber.Run {
	w.t.Helper()
	run, err := w.scrubber(change).Scrub(w.t.Context(), scrubber.Plan{})
	if err != nil || !run.Complete {
		w.t.Fatalf("the scrub %+v, error %v", run, err)
	}
	return run
}

// put stores bytes.
func (w *world) put(b []byte) cas.ObjectRef {
	w.t.Helper()
	row, _, err := w.store.Put(w.t.Context(), cas.Upload{Body: bytes.NewReader(b), Size: int64(len(b)), Digest: new(cas.DigestOf(b))})
	if err != nil {
		w.t.Fatal(err)
	}
	return row.Object()
}

// putSome stores n blobs and returns their bytes.
func (w *world) putSome(n int) [][]byte {
	w.t.Helper()
	var all [][]byte
	for range n {
		b := castest.RandomBytes(1000)
		w.put(b)
		all = append(all, b)
	}
	return all
}

// remove deletes a blob.
func (w *world) remove(d cas.Digest) {
	w.t.Helper()
	if err := w.store.Delete(w.t.Context(), d, cas.CondemnOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// collect removes the objects of deleted blobs.
func (w *world) collect() {
	w.t.Helper()
	if _, err := collector.New(collector.Options{Index: w.index, Objects: w.objects}).Collect(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// wantState fails the test unless the row has this state and generation.
func (w *world) wantState(ref cas.ObjectRef, state cas.State) {
	w.t.Helper()
	row, err := w.index.Touch(w.t.Context(), ref.Digest)
	if err != nil || row.State != state || row.Generation != ref.Generation {
		w.t.Errorf("the row is %s at generation %d, error %v; want %s at %d", row.State, row.Generation, err, state, ref.Generation)
	}
}

// read reads a blob as a client does.
func (w *world) read(d cas.Digest) ([]byte, error) {
	blob, err := w.store.Blob(w.t.Context(), d)
	if err != nil {
		return nil, err
	}
	c, err := w.store.Open(w.t.Context(), blob, 0, -1)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return io.ReadAll(c.Body)
}

// wantBlob fails the test unless the blob is live, and clients read its bytes.
func (w *world) wantBlob(b []byte) {
	w.t.Helper()
	d := cas.DigestOf(b)
	if got, err := w.read(d); err != nil || !bytes.Equal(got, b) {
		w.t.Errorf("%d bytes came, error %v; want %d", len(got), err, len(b))
	}
	if row, err := w.index.Touch(w.t.Context(), d); err != nil || row.State != cas.StateLive {
		w.t.Errorf("the blob is %s, error %v; want live", row.State, err)
	}
}

// backup is a folder with the objects of blobs.
func backup(t *testing.T, blobs ...[]byte) scrubber.Source {
	t.Helper()
	dir := t.TempDir()
	s, err := folderstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, b := range blobs {
		d := cas.DigestOf(b)
		if err := s.Put(t.Context(), cas.ObjectRef{Digest: d}, cas.NewVerifyingReader(bytes.NewReader(b), d, int64(len(b)))); err != nil {
			t.Fatal(err)
		}
	}
	source, err := foldersource.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	return scrubber.ObjectSource{Source: source}
}

// liar is a source with wrong bytes.
type liar struct{}

func (liar) Candidates(_ context.Context, b cas.Blob) ([]scrubber.Candidate, error) {
	wrong := bytes.Repeat([]byte("x"), int(b.Size))
	return []scrubber.Candidate{
		{Name: "liar", Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(wrong)), nil }},
		{Name: "short", Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(wrong[:b.Size/2])), nil
		}},
		{Name: "away", Open: func(context.Context) (io.ReadCloser, error) { return nil, errors.New("it is away") }},
	}, nil
}
