package cas_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/folderstore"
	"casgate/index"
	"casgate/index/indextest"
	"casgate/index/sqliteindex"
	"casgate/index/sqliteindex/sqlitetest"
)

// study is Files on real drivers, with a cache in between as a gateway has it.
type study struct {
	*cas.Files
	store *cas.Store
	index *sqliteindex.Index
}

func newStudy(t *testing.T, o cas.FilesOptions) study {
	t.Helper()
	dir := t.TempDir()
	objects, err := folderstore.Open(filepath.Join(dir, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { objects.Close() })
	x := sqlitetest.Open(t, filepath.Join(dir, "index.sqlite"))
	cached, err := index.NewCached(x, index.CacheOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cached.Close)
	s := study{index: x}
	if s.store, err = cas.NewStore(objects, cached, cas.Options{SpoolDir: dir, MaxBlobSize: 10 << 20}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.store.Close)
	o.Store = s.store
	if o.Index == nil {
		o.Index = x
	}
	s.Files = cas.NewFiles(o)
	return s
}

// create makes a file of these bytes.
func (s study) create(body io.Reader, u cas.Upload, n cas.NewFile) (cas.File, bool, error) {
	u.Body, u.Size = body, -1
	return s.Create(context.Background(), u, func() cas.NewFile { return n })
}

func (s study) counts(t *testing.T) (files, blobs int) {
	t.Helper()
	all, err := s.ListFiles(t.Context(), cas.FileQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := s.store.List(t.Context(), cas.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return len(all), len(kept)
}

func newFile(name string) cas.NewFile {
	return cas.NewFile{File: cas.File{Name: name, Purpose: "user_data"}}
}

func TestFilesCreate(t *testing.T) {
	t.Parallel()
	s := newStudy(t, cas.FilesOptions{})
	for _, size := range []int{0, 1000, 2 << 20} {
		content := castest.RandomBytes(size)
		d := cas.DigestOf(content)
		if _, err := s.store.Blob(t.Context(), d); !errors.Is(err, cas.ErrBlobNotFound) {
			t.Fatal(err)
		}
		read := &bytes.Buffer{}
		f, stored, err := s.Create(t.Context(), cas.Upload{Body: io.TeeReader(bytes.NewReader(content), read), Size: -1, Name: "first.txt"}, func() cas.NewFile {
			if read.Len() != size {
				t.Errorf("the file had to be described after %d of %d bytes", read.Len(), size)
			}
			return newFile("first.txt")
		})
		if err != nil || !stored || !cas.IsFileID(f.ID) || f.Digest != d || f.Size != int64(size) || f.MediaType == "" {
			t.Fatalf("%d bytes: %+v, stored %t, %v", size, f, stored, err)
		}
		if b, err := s.store.Blob(t.Context(), d); err != nil || b.Name != "" || b.MediaType != f.MediaType {
			t.Errorf("a reader that asked for the blob before does not see it: %+v, %v", b, err)
		}
		again, stored, err := s.create(bytes.NewReader(content), cas.Upload{}, cas.NewFile{File: cas.File{Name: "second.txt", Purpose: "batch", MediaType: "text/x-own"}})
		if err != nil || stored || again.ID == f.ID || again.Digest != d || again.MediaType != "text/x-own" {
			t.Errorf("%d bytes again: %+v, stored %t, %v", size, again, stored, err)
		}
		unique := newFile("third.txt")
		unique.Unique = true
		other, _, err := s.create(bytes.NewReader(content), cas.Upload{}, unique)
		if !errors.Is(err, cas.ErrDuplicateFile) || other.ID != f.ID {
			t.Errorf("%d bytes, unique: %+v, %v", size, other, err)
		}
	}
}

// The bytes of an existing blob are read even if the digest is declared: a client that
// creates a file must have the bytes.
func TestFilesCreateOfADeclaredDigest(t *testing.T) {
	t.Parallel()
	s := newStudy(t, cas.FilesOptions{})
	content := castest.RandomBytes(3 << 20)
	d := cas.DigestOf(content)
	for i := range 2 {
		f, stored, err := s.create(bytes.NewReader(content), cas.Upload{Digest: &d}, newFile("x"))
		if err != nil || stored != (i == 0) || f.Digest != d {
			t.Errorf("%+v, stored %t, %v", f, stored, err)
		}
	}
	wrong := bytes.Clone(content)
	wrong[1] ^= 1
	for name, body := range map[string]io.Reader{
		"other bytes":   bytes.NewReader(wrong),
		"fewer bytes":   bytes.NewReader(content[:1000]),
		"broken off":    io.MultiReader(bytes.NewReader(content[:1000]), iotest.ErrReader(errors.New("gone"))),
		"nothing":       strings.NewReader(""),
		"extra bytes":   io.MultiReader(bytes.NewReader(content), strings.NewReader("x")),
		"refused after": io.MultiReader(bytes.NewReader(content), iotest.ErrReader(errors.New("two files"))),
	} {
		if f, _, err := s.create(body, cas.Upload{Digest: &d}, newFile("x")); err == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if files, blobs := s.counts(t); files != 2 || blobs != 1 {
		t.Errorf("%d files of %d blobs", files, blobs)
	}
}

func TestFilesCreateRefused(t *testing.T) {
	t.Parallel()
	s := newStudy(t, cas.FilesOptions{})
	gone := errors.New("gone")
	if _, _, err := s.create(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(gone)), cas.Upload{}, newFile("x")); !errors.Is(err, gone) {
		t.Errorf("a body that breaks off: %v", err)
	}
	if _, _, err := s.create(strings.NewReader(strings.Repeat("x", 11<<20)), cas.Upload{}, newFile("x")); !errors.Is(err, cas.ErrBlobTooLarge) {
		t.Errorf("a large body: %v", err)
	}
	if files, blobs := s.counts(t); files != 0 || blobs != 0 {
		t.Errorf("%d files and %d blobs", files, blobs)
	}
	if _, _, err := s.create(strings.NewReader("x"), cas.Upload{}, newFile("a/b")); !errors.Is(err, cas.ErrInvalidFile) {
		t.Errorf("a wrong name: %v", err)
	}
	// A client that has left would not learn the file's id.
	ctx, leave := context.WithCancel(t.Context())
	_, _, err := s.Create(ctx, cas.Upload{Body: strings.NewReader("y"), Size: -1}, func() cas.NewFile { return newFile("y") })
	if err != nil {
		t.Error(err)
	}
	body := iotest.OneByteReader(strings.NewReader("left"))
	_, _, err = s.Create(ctx, cas.Upload{Body: readerFunc(func(p []byte) (int, error) {
		n, err := body.Read(p)
		if err == io.EOF {
			leave()
		}
		return n, err
	}), Size: -1}, func() cas.NewFile { return newFile("z") })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a client that left: %v", err)
	}
	if files, _ := s.counts(t); files != 1 {
		t.Errorf("%d files", files)
	}
}

// leftAt is a store whose client leaves when its object is stored.
type leftAt struct {
	cas.ObjectStore
	leave func()
}

func (s leftAt) Put(ctx context.Context, ref cas.ObjectRef, body *cas.VerifyingReader) error {
	defer s.leave()
	return s.ObjectStore.Put(ctx, ref, body)
}

// A client with a key may come again, and learns the file's id then. Without the key's record it could
// store other bytes under it.
func TestFilesCreateForAClientThatLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	objects, err := folderstore.Open(filepath.Join(dir, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	x := sqlitetest.Open(t, filepath.Join(dir, "index.sqlite"))
	ctx, leave := context.WithCancel(t.Context())
	store, err := cas.NewStore(leftAt{objects, leave}, x, cas.Options{SpoolDir: dir, MaxBlobSize: 10 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	files := cas.NewFiles(cas.FilesOptions{Store: store, Index: x})
	n := newFile("x")
	n.Key = &cas.IdempotencyKey{ID: [32]byte{1}, Request: [32]byte{2}}
	f, _, err := files.Create(ctx, cas.Upload{Body: strings.NewReader("x"), Size: -1}, func() cas.NewFile { return n })
	if err != nil || ctx.Err() == nil {
		t.Fatalf("%v, the client's context: %v", err, ctx.Err())
	}
	if use, err := x.KeyUse(t.Context(), n.Key.ID); err != nil || use == nil || use.FileID != f.ID {
		t.Errorf("the key stands for %+v, %v; want %s", use, err, f.ID)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// attic is a source in memory, for tests.
type attic struct {
	mu      sync.Mutex
	objects map[string]string
	opened  int
	down    bool
	hold    chan struct{}
}

func (*attic) Name() string { return "attic" }

func (a *attic) Open(ctx context.Context, key string) (cas.Object, error) {
	a.mu.Lock()
	content, ok := a.objects[key]
	a.opened++
	down, hold := a.down, a.hold
	a.mu.Unlock()
	if hold != nil {
		<-hold
	}
	switch {
	case down:
		return cas.Object{}, fmt.Errorf("%w: the attic is locked", cas.ErrOriginUnavailable)
	case !ok:
		return cas.Object{}, fmt.Errorf("%w: %s", cas.ErrObjectMissing, key)
	case key == "breaks":
		return cas.Object{Body: io.NopCloser(iotest.ErrReader(errors.New("dust"))), Size: 4}, nil
	}
	return cas.Object{Body: io.NopCloser(strings.NewReader(content)), Size: int64(len(content))}, nil
}

func (s study) imports(t *testing.T, key string, size int64, o cas.Origin) string {
	t.Helper()
	o.Key = key
	if o.Source == "" {
		o.Source = "attic"
	}
	f := cas.File{ID: cas.NewFileID(), Size: size, Name: "old.txt", Purpose: "batch", CreatedAt: time.Now().Add(-time.Hour), Origin: &o}
	if stored, err := s.ImportFiles(t.Context(), []cas.File{f}, cas.ImportFilesOptions{}); err != nil || len(stored) != 1 {
		t.Fatalf("%v, %v", stored, err)
	}
	return f.ID
}

func TestFilesTakeIn(t *testing.T) {
	t.Parallel()
	lies := &attic{objects: map[string]string{"a": "some text", "breaks": "dust"}}
	var mu sync.Mutex
	adopted := map[string]error{}
	told := map[string]error{}
	s := newStudy(t, cas.FilesOptions{
		Sources: []cas.Source{lies},
		Adopt: func(_ context.Context, f cas.File) error {
			mu.Lock()
			defer mu.Unlock()
			adopted[f.ID] = errors.New("the ledger is down")
			return adopted[f.ID] // and the file is taken in nevertheless
		},
		TookIn: func(f cas.File, _ time.Time, err error) {
			mu.Lock()
			defer mu.Unlock()
			told[f.ID] = err
		},
	})
	right, wrong := cas.DigestOf([]byte("some text")), cas.DigestOf([]byte("other"))
	for _, tt := range []struct {
		name, key string
		size      int64
		origin    cas.Origin
		want      error
		noted     bool // with the file
	}{
		{"nothing known", "a", -1, cas.Origin{}, nil, false},
		{"the right size", "a", 9, cas.Origin{}, nil, false},
		{"the right digest", "a", 9, cas.Origin{Digest: right}, nil, false},
		{"a wrong size beside the right digest", "a", 5, cas.Origin{Digest: right}, nil, false},
		{"a wrong digest", "a", 9, cas.Origin{Digest: wrong}, cas.ErrDigestMismatch, true},
		{"a wrong size", "a", 5, cas.Origin{}, cas.ErrDigestMismatch, true},
		{"missing", "nowhere", -1, cas.Origin{}, cas.ErrObjectMissing, true},
		{"breaks off", "breaks", -1, cas.Origin{}, cas.ErrOriginUnavailable, false},
		{"a source that isn't there", "a", -1, cas.Origin{Source: "cellar"}, cas.ErrOriginUnavailable, false},
	} {
		id := s.imports(t, tt.key, tt.size, tt.origin)
		f, b, err := s.Bytes(t.Context(), id)
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.want == nil && (f.Digest != right || f.Size != 9 || b.Digest != right || adopted[id] == nil || f.MediaType == "") {
			t.Errorf("%s: %+v, %+v", tt.name, f, b)
		}
		after, err := s.File(t.Context(), id)
		if err != nil || (after.Origin.Error != "") != tt.noted || after.IsPending() != (tt.want != nil) {
			t.Errorf("%s: afterwards %+v with %+v, %v", tt.name, after, after.Origin, err)
		}
		if err, ok := told[id]; !ok || !errors.Is(err, tt.want) {
			t.Errorf("%s: TookIn got the error %v", tt.name, err)
		}
	}
	if _, _, err := s.Bytes(t.Context(), "file-missing"); !errors.Is(err, cas.ErrFileNotFound) {
		t.Errorf("no file: %v", err)
	}

	// A file whose turn came while its source was down waits for the next.
	lies.down = true
	id := s.imports(t, "a", -1, cas.Origin{})
	if _, _, err := s.Bytes(t.Context(), id); !errors.Is(err, cas.ErrOriginUnavailable) {
		t.Errorf("down: %v", err)
	}
	lies.down = false
	if f, _, err := s.Bytes(t.Context(), id); err != nil || f.Digest != right {
		t.Errorf("up again: %+v, %v", f, err)
	}
}

// Of many callers that need a file's bytes one takes them in, and the work continues for
// the others if that caller leaves.
func TestFilesTakeInOnce(t *testing.T) {
	t.Parallel()
	lies := &attic{objects: map[string]string{"a": "some text"}, hold: make(chan struct{})}
	s := newStudy(t, cas.FilesOptions{Sources: []cas.Source{lies}})
	id := s.imports(t, "a", -1, cas.Origin{})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, _, err := s.Bytes(ctx, id)
		left <- err
	}()
	eventually(t, "the source is opened", func() bool { lies.mu.Lock(); defer lies.mu.Unlock(); return lies.opened == 1 })
	stay := make(chan error, 5)
	for range cap(stay) {
		go func() {
			_, b, err := s.Bytes(t.Context(), id)
			if err == nil && b.Size != 9 {
				err = fmt.Errorf("%+v", b)
			}
			stay <- err
		}()
	}
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that left: %v", err)
	}
	close(lies.hold)
	for range cap(stay) {
		if err := <-stay; err != nil {
			t.Error(err)
		}
	}
}

// If an index fails to resolve a file, or to acknowledge that it did, the next attempt
// succeeds.
func TestFilesTakeInAgain(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{false, true} { // the bytes, as those of another blob
		for _, apply := range []bool{false, true} {
			t.Run(fmt.Sprintf("bytes there %t, applied %t", there, apply), func(t *testing.T) {
				t.Parallel()
				lies := &attic{objects: map[string]string{"a": "some text"}}
				s := newStudy(t, cas.FilesOptions{Sources: []cas.Source{lies}})
				fails := 1
				s.Files = cas.NewFiles(cas.FilesOptions{Store: s.store, Sources: []cas.Source{lies}, Index: indextest.NewFaultyFiles(s.index, func(op string, _ cas.Digest) (bool, error) {
					if (op == indextest.OpCommitResolved || op == indextest.OpResolveFile) && fails > 0 {
						fails--
						return apply, cas.ErrIndexUnavailable
					}
					return false, nil
				})})
				if there {
					if _, _, err := s.store.Put(t.Context(), cas.Upload{Body: strings.NewReader("some text"), Size: 9}); err != nil {
						t.Fatal(err)
					}
				}
				id := s.imports(t, "a", -1, cas.Origin{})
				if _, _, err := s.Bytes(t.Context(), id); !errors.Is(err, cas.ErrIndexUnavailable) || fails > 0 {
					t.Errorf("the first time: %v", err)
				}
				f, b, err := s.Bytes(t.Context(), id)
				if err != nil || f.Digest != b.Digest || b.Size != 9 {
					t.Fatalf("the second time: %+v, %+v, %v", f, b, err)
				}
				if files, blobs := s.counts(t); files != 1 || blobs != 1 {
					t.Errorf("%d files and %d blobs", files, blobs)
				}
				// The blob counts one file: with it gone it can go, too.
				if err := s.store.Delete(t.Context(), b.Digest, cas.CondemnOptions{}); !errors.Is(err, cas.ErrBlobInUse) {
					t.Errorf("deleting the blob of a file: %v", err)
				}
				if _, err := s.DeleteFile(t.Context(), id); err != nil {
					t.Error(err)
				}
				if err := s.store.Delete(t.Context(), b.Digest, cas.CondemnOptions{}); err != nil {
					t.Errorf("deleting a blob without files: %v", err)
				}
			})
		}
	}
}

var eventually = castest.Eventually

// untilExpiry is longer than it takes to make a file, also on a busy machine: a file whose
// time is past is refused.
const untilExpiry = 3 * time.Second

func TestFilesRun(t *testing.T) {
	t.Parallel()
	expired := make(chan cas.File, 10)
	s := newStudy(t, cas.FilesOptions{Expired: func(f cas.File) { expired <- f }})
	stays, _, err := s.create(strings.NewReader("x"), cas.Upload{}, newFile("stays"))
	if err != nil {
		t.Fatal(err)
	}
	soon := newFile("goes")
	soon.ExpiresAt = time.Now().Add(untilExpiry)
	goes, _, err := s.create(strings.NewReader("x"), cas.Upload{}, soon)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file expires", func() bool {
		_, err := s.File(t.Context(), goes.ID)
		return errors.Is(err, cas.ErrFileNotFound)
	})
	if _, _, err := s.Bytes(t.Context(), stays.ID); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	if f := <-expired; f.ID != goes.ID {
		t.Errorf("%+v was removed", f)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	if f, err := s.File(t.Context(), stays.ID); err != nil || time.Since(f.AccessedAt).Abs() > time.Minute {
		t.Errorf("the bytes read are lost at the end: %+v, %v", f, err)
	}
	if files, blobs := s.counts(t); files != 1 || blobs != 1 {
		t.Errorf("%d files of %d blobs", files, blobs)
	}
}

// A file with OnExpiryEverywhere takes its blob along, and its copies and texts are deleted
// at once.
func TestFilesRunCondemns(t *testing.T) {
	t.Parallel()
	condemned := make(chan cas.File, 10)
	s := newStudy(t, cas.FilesOptions{Condemned: func(_ context.Context, f cas.File) { condemned <- f }})
	soon := newFile("goes")
	soon.ExpiresAt, soon.OnExpiry = time.Now().Add(untilExpiry), cas.OnExpiryEverywhere
	goes, _, err := s.create(strings.NewReader("x"), cas.Upload{}, soon)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file expires", func() bool {
		_, err := s.File(t.Context(), goes.ID)
		return errors.Is(err, cas.ErrFileNotFound)
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	if f := <-condemned; f.ID != goes.ID || f.Digest != goes.Digest {
		t.Errorf("the blob of %+v was condemned", f)
	}
	stop()
	<-ended
	if files, blobs := s.counts(t); files != 0 || blobs != 0 {
		t.Errorf("%d files of %d blobs", files, blobs)
	}
}

func TestFileChecks(t *testing.T) {
	t.Parallel()
	valid := cas.File{ID: cas.NewFileID(), Name: "a.txt", Purpose: "batch", MediaType: "text/plain; charset=utf-8", Context: "c", Tags: []string{"a", "b"}, Metadata: []byte(` {"a": 1}`)}
	if err := valid.Check(); err != nil {
		t.Error(err)
	}
	for _, metadata := range []string{`{"regex":"\\u0000"}`, `{"regex":"\u0001"}`, `{"emoji":"\ud83d\ude00"}`, `{}`, ``} {
		f := valid
		f.Metadata = []byte(metadata)
		if err := f.Check(); err != nil {
			t.Errorf("metadata %s: %v", metadata, err)
		}
	}
	for field, spoil := range map[string]func(*cas.File){
		"id: none":              func(f *cas.File) { f.ID = "" },
		"id: NUL":               func(f *cas.File) { f.ID = "file-\x00" },
		"size: negative":        func(f *cas.File) { f.Size = -2 },
		"origin: NUL":           func(f *cas.File) { f.Origin = &cas.Origin{Key: "a\x00"} },
		"origin: UTF-8":         func(f *cas.File) { f.Origin = &cas.Origin{Error: "\xff"} },
		"name: empty":           func(f *cas.File) { f.Name = "" },
		"name: long":            func(f *cas.File) { f.Name = strings.Repeat("n", 256) },
		"name: a path":          func(f *cas.File) { f.Name = "a/b" },
		"name: a Windows path":  func(f *cas.File) { f.Name = `a\b` },
		"name: dots":            func(f *cas.File) { f.Name = ".." },
		"name: control":         func(f *cas.File) { f.Name = "a\nb" },
		"name: UTF-8":           func(f *cas.File) { f.Name = "\xff" },
		"purpose: none":         func(f *cas.File) { f.Purpose = "" },
		"purpose: malformed":    func(f *cas.File) { f.Purpose = "a dance" },
		"media_type: nonsense":  func(f *cas.File) { f.MediaType = "a b" },
		"media_type: NUL":       func(f *cas.File) { f.MediaType = "text/plain; a=\"\x00\"" },
		"media_type: UTF-8":     func(f *cas.File) { f.MediaType = "text/plain; a=\"\xff\"" },
		"media_type: long":      func(f *cas.File) { f.MediaType = "text/plain; a=" + strings.Repeat("a", 255) },
		"context: long":         func(f *cas.File) { f.Context = strings.Repeat("c", 256) },
		"context: NUL":          func(f *cas.File) { f.Context = "\x00" },
		"tags: many":            func(f *cas.File) { f.Tags = strings.Split(strings.Repeat("t,", 64), ",") },
		"tags: long":            func(f *cas.File) { f.Tags = []string{strings.Repeat("t", 65)} },
		"tags: empty":           func(f *cas.File) { f.Tags = []string{""} },
		"tags: comma":           func(f *cas.File) { f.Tags = []string{"a,b"} },
		"tags: twice":           func(f *cas.File) { f.Tags = []string{"a", "b", "a"} },
		"metadata: broken":      func(f *cas.File) { f.Metadata = []byte(`{"a":`) },
		"metadata: a list":      func(f *cas.File) { f.Metadata = []byte(`[]`) },
		"metadata: null":        func(f *cas.File) { f.Metadata = []byte(`null`) },
		"metadata: large":       func(f *cas.File) { f.Metadata = []byte(`{"a":"` + strings.Repeat("x", 16<<10) + `"}`) },
		"metadata: NUL":         func(f *cas.File) { f.Metadata = []byte(`{"a":"\u0000"}`) },
		"metadata: half a pair": func(f *cas.File) { f.Metadata = []byte(`{"a":"\ud83d"}`) },
		"metadata: a number":    func(f *cas.File) { f.Metadata = []byte(`{"a":1e100000}`) },
		"metadata: deep": func(f *cas.File) {
			f.Metadata = []byte(`{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`)
		},
		"metadata: UTF-8":         func(f *cas.File) { f.Metadata = []byte("{\"a\":\"\xff\"}") },
		"metadata: nothing in it": func(f *cas.File) { f.Metadata = []byte(` `) },
	} {
		f := valid
		spoil(&f)
		e, ok := errors.AsType[*cas.InvalidField](f.Check())
		if want, _, _ := strings.Cut(field, ":"); !ok || e.Field != want || !errors.Is(e, cas.ErrInvalidFile) || e.Problem == "" || len(e.Error()) > 500 {
			t.Errorf("%s: %v", field, f.Check())
		}
	}
}

func FuzzIsFileID(f *testing.F) {
	for _, id := range []string{"file-abc", "file-", "FILE-x", cas.NewFileID(), "file-ä", "file-" + strings.Repeat("x", 60)} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if cas.IsFileID(id) && (len(id) > 64 || strings.ContainsAny(id, "/\\%\x00 ,\"") || !strings.HasPrefix(id, "file-")) {
			t.Errorf("%q", id)
		}
	})
	if !cas.IsFileID(cas.NewFileID()) {
		f.Error("an id of our own is none")
	}
}
