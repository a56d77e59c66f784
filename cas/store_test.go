package cas_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/collector"
	"casgate/cas/folderstore"
	"casgate/cas/scrubber"
	"casgate/index/indextest"
	"casgate/index/sqliteindex"
)

// house is a Store on real drivers, with a hook on every call of them.
type house struct {
	dir       string
	store     *cas.Store
	objects   *castest.Faulty
	index     cas.Index
	collector collector.Index
	scrubber  scrubber.Index
	indexHook indextest.Hook
}

// openHouse returns a house, and a function that closes it.
func openHouse(dir string, o cas.Options) (*house, func(), error) {
	files, err := folderstore.Open(filepath.Join(dir, "objects"))
	if err != nil {
		return nil, nil, err
	}
	x, err := sqliteindex.Open(context.Background(), filepath.Join(dir, "index.sqlite"))
	if err != nil {
		return nil, nil, err
	}
	if err := x.Migrate(context.Background()); err != nil {
		return nil, nil, err
	}
	h := &house{dir: dir, objects: castest.NewFaulty(files), collector: x, scrubber: x}
	h.index = indextest.NewFaulty(x, func(op string, d cas.Digest) (bool, error) {
		if h.indexHook == nil {
			return false, nil
		}
		return h.indexHook(op, d)
	})
	o.SpoolDir = dir
	if h.store, err = cas.NewStore(h.objects, h.index, o); err != nil {
		return nil, nil, err
	}
	return h, func() { h.store.Close(); x.Close(); files.Close() }, nil
}

func newHouse(t testing.TB, o cas.Options) *house {
	t.Helper()
	h, leave, err := openHouse(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(leave)
	return h
}

func (h *house) read(d cas.Digest) ([]byte, error) {
	ctx := context.Background()
	b, err := h.store.Blob(ctx, d)
	if err != nil {
		return nil, err
	}
	c, err := h.store.Open(ctx, b, 0, -1)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if c.Body == nil {
		return c.Bytes, nil
	}
	return io.ReadAll(c.Body)
}

// fact is the state of a blob that a client may rely on.
type fact int

const (
	absent  fact = iota // deleted, or never there
	present             // an upload was acknowledged after the last delete
	unknown             // something failed that may have been applied
)

// contentsSource has the bytes of blobs, for repairs.
type contentsSource [][]byte

func (s contentsSource) Candidates(_ context.Context, b cas.Blob) (all []scrubber.Candidate, err error) {
	for _, content := range s {
		if cas.DigestOf(content) == b.Digest {
			all = append(all, scrubber.Candidate{Name: "contents", Open: func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(content)), nil
			}})
		}
	}
	return all, nil
}

// Uploads, deletes, reads, scrubs and a collector that crashes and deletes late, in any
// order, with every write failing now and then in both of its ways: a blob whose
// upload was acknowledged last is readable with the right bytes, and one whose
// delete was acknowledged last is not there.
func TestStoreAgainstAModel(t *testing.T) {
	contents := [][]byte{{}, castest.RandomBytes(1), castest.RandomBytes(3000), castest.RandomBytes(cas.SpoolMemory + 1)}
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "store-model-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		ctx := context.Background()
		h, leave, err := openHouse(dir, cas.Options{HotBlobSize: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
		facts := make([]fact, len(contents))
		var late []cas.ObjectRef // deletes that a collector began, and that may happen at any time

		pick := func(t *rapid.T) (int, []byte, cas.Digest) {
			i := rapid.IntRange(0, len(contents)-1).Draw(t, "blob")
			return i, contents[i], cas.DigestOf(contents[i])
		}
		// arm makes the next write to one of the parts fail, perhaps.
		arm := func(t *rapid.T) (part string, applied bool) {
			part = rapid.SampledFrom([]string{"", "", "", "object", "commit", "condemn", "touch"}).Draw(t, "failing")
			applied = rapid.Bool().Draw(t, "applied")
			if part == "object" {
				h.objects.SetHook(func(op castest.Op, _ cas.ObjectRef) castest.Fault {
					if op == castest.OpPut {
						return castest.Fault{Err: cas.ErrStoreUnavailable, Applied: applied}
					}
					return castest.Fault{}
				})
			} else if part != "" {
				h.indexHook = func(op string, _ cas.Digest) (bool, error) {
					if op == part {
						return applied, cas.ErrIndexUnavailable
					}
					return false, nil
				}
			}
			return part, applied
		}
		disarm := func() { h.objects.SetHook(nil); h.indexHook = nil }

		t.Repeat(map[string]func(*rapid.T){
			"upload": func(t *rapid.T) {
				i, b, d := pick(t)
				u := cas.Upload{Body: bytes.NewReader(b), Size: int64(len(b)), Digest: &d}
				switch rapid.SampledFrom([]string{"known", "unknown", "unsized"}).Draw(t, "form") {
				case "unknown":
					u.Digest = nil
				case "unsized":
					u.Size = -1
				}
				arm(t)
				defer disarm()
				_, _, err := h.store.Put(ctx, u)
				switch {
				case err == nil:
					facts[i] = present
				case facts[i] == absent:
					facts[i] = unknown // it may have been applied
				}
			},
			"upload of wrong bytes": func(t *rapid.T) {
				_, b, d := pick(t)
				_, stored, err := h.store.Put(ctx, cas.Upload{Body: bytes.NewReader(append(bytes.Clone(b), 0)), Size: int64(len(b)) + 1, Digest: &d})
				if !errors.Is(err, cas.ErrDigestMismatch) {
					t.Fatalf("stored %t, %v", stored, err)
				}
			},
			"delete": func(t *rapid.T) {
				i, _, d := pick(t)
				arm(t)
				defer disarm()
				switch err := h.store.Delete(ctx, d, cas.CondemnOptions{}); {
				case err == nil:
					if facts[i] == absent {
						t.Fatal("deleted a blob that wasn't there")
					}
					facts[i] = absent
				case errors.Is(err, cas.ErrBlobNotFound):
					if facts[i] == present {
						t.Fatal("a blob that must be there is not found")
					}
					facts[i] = absent
				default:
					facts[i] = unknown
				}
			},
			"collector begins": func(t *rapid.T) {
				refs, err := indextest.StartDeleting(ctx, h.collector, 0, 10)
				if err != nil {
					t.Fatal(err)
				}
				late = append(late, refs...)
			},
			"collector deletes an object": func(t *rapid.T) {
				if len(late) == 0 {
					t.Skip()
				}
				if err := h.objects.Delete(ctx, late[rapid.IntRange(0, len(late)-1).Draw(t, "which")]); err != nil {
					t.Fatal(err)
				}
			},
			"collector finishes": func(t *rapid.T) {
				if len(late) == 0 {
					t.Skip()
				}
				ref := late[rapid.IntRange(0, len(late)-1).Draw(t, "which")]
				if err := h.objects.Delete(ctx, ref); err != nil {
					t.Fatal(err)
				}
				if err := h.collector.FinishDeleting(ctx, ref); err != nil {
					t.Fatal(err)
				}
			},
			"collector works": func(t *rapid.T) {
				if rapid.Bool().Draw(t, "failing") {
					applied := rapid.Bool().Draw(t, "applied")
					h.objects.SetHook(func(op castest.Op, _ cas.ObjectRef) castest.Fault {
						if op == castest.OpDelete {
							return castest.Fault{Err: cas.ErrStoreUnavailable, Applied: applied}
						}
						return castest.Fault{}
					})
				}
				defer disarm()
				c := collector.New(collector.Options{Index: h.collector, Objects: h.objects, Lease: time.Millisecond})
				if _, err := c.Collect(ctx); err != nil {
					t.Fatal(err)
				}
			},
			"scrub": func(t *rapid.T) {
				run, err := scrubber.New(scrubber.Options{Index: h.scrubber, Objects: h.objects}).Scrub(ctx, scrubber.Plan{})
				if err != nil || run.Damaged > 0 || run.Unread > 0 {
					t.Fatalf("a scrub finds damage where there is none: %+v, error %v", run, err)
				}
			},
			"a scrub repairs an object": func(t *rapid.T) {
				i, _, d := pick(t)
				if facts[i] != present {
					t.Skip()
				}
				row, err := h.store.Blob(ctx, d)
				if err == nil {
					err = h.objects.Delete(ctx, row.Object())
				}
				if err != nil {
					t.Fatal(err)
				}
				run, err := scrubber.New(scrubber.Options{Index: h.scrubber, Objects: h.objects, Sources: []scrubber.Source{contentsSource(contents)}}).Scrub(ctx, scrubber.Plan{})
				if err != nil || run.Damaged != 1 || run.Repaired != 1 {
					t.Fatalf("a scrub of a lost object: %+v, error %v", run, err)
				}
			},
			"": func(t *rapid.T) {
				for i, b := range contents {
					got, err := h.read(cas.DigestOf(b))
					switch {
					case err == nil && !bytes.Equal(got, b):
						t.Fatalf("blob %d has other bytes", i)
					case err == nil && facts[i] == absent:
						t.Fatalf("blob %d is readable and must not be", i)
					case err != nil && facts[i] == present:
						t.Fatalf("blob %d must be readable: %v", i, err)
					case err != nil && !errors.Is(err, cas.ErrBlobNotFound):
						t.Fatalf("blob %d: %v", i, err)
					}
				}
			},
		})
	})
}

func put(t *testing.T, h *house, b []byte) cas.Digest {
	t.Helper()
	d := cas.DigestOf(b)
	if _, _, err := h.store.Put(t.Context(), cas.Upload{Body: bytes.NewReader(b), Size: int64(len(b)), Digest: &d}); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestUploadThatFailsTakesNothingFromOneThatSucceeds(t *testing.T) {
	h := newHouse(t, cas.Options{HotBlobSize: -1})
	b := castest.RandomBytes(3 << 20)
	d := cas.DigestOf(b)
	broken := errors.New("broken")
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if i%2 == 0 {
				if _, _, err := h.store.Put(t.Context(), cas.Upload{Body: bytes.NewReader(b), Size: int64(len(b)), Digest: &d}); err != nil {
					t.Errorf("upload %d: %v", i, err)
				}
				return
			}
			// A body that breaks off, unless it isn't read because the blob is there.
			src := io.MultiReader(bytes.NewReader(b[:i<<16]), iotest.ErrReader(broken))
			if _, _, err := h.store.Put(t.Context(), cas.Upload{Body: src, Size: int64(len(b)), Digest: &d}); err != nil && !errors.Is(err, broken) {
				t.Errorf("broken upload %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if got, err := h.read(d); err != nil || !bytes.Equal(got, b) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

// Once the object is stored, an uploader that leaves does not undo it.
func TestCommitOutlivesItsCaller(t *testing.T) {
	h := newHouse(t, cas.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	h.indexHook = func(op string, _ cas.Digest) (bool, error) {
		if op == indextest.OpCommit {
			cancel()
		}
		return false, nil
	}
	b := castest.RandomBytes(100)
	if _, stored, err := h.store.Put(ctx, cas.Upload{Body: bytes.NewReader(b), Size: -1}); err != nil || !stored {
		t.Fatalf("stored %t, %v", stored, err)
	}
	if got, err := h.read(cas.DigestOf(b)); err != nil || !bytes.Equal(got, b) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

// A verification is remembered for its time: the next reads compare the fingerprint.
func TestVerificationIsRemembered(t *testing.T) {
	h := newHouse(t, cas.Options{VerifiedFor: time.Hour})
	b := castest.RandomBytes(1 << 20)
	d := put(t, h, b)
	blob, err := h.store.Blob(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(castest.WaitLimit); ; runtime.Gosched() {
		c, err := h.store.Open(t.Context(), blob, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c.Body); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		c.Close()
		if c.ChecksFingerprint() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("every read computes the digest")
		}
	}
}

// The rest of an object in the folder, which a client asks for to resume, is the file on disk
// itself, which the kernel can send.
func TestRestIsTheDiskFile(t *testing.T) {
	h := newHouse(t, cas.Options{})
	b := castest.RandomBytes(1 << 20)
	blob, err := h.store.Blob(t.Context(), put(t, h, b))
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.store.Open(t.Context(), blob, 10, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, direct := c.Body.(*os.File); !direct {
		t.Errorf("the body is a %T", c.Body)
	}
	if got, err := io.ReadAll(c.Body); err != nil || !bytes.Equal(got, b[10:]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestEveryReadVerifiesWhereAskedTo(t *testing.T) {
	h := newHouse(t, cas.Options{VerifiedFor: 0, HotBlobSize: -1})
	d := put(t, h, castest.RandomBytes(1000))
	blob, err := h.store.Blob(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		c, err := h.store.Open(t.Context(), blob, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, direct := c.Body.(*os.File); direct || c.ChecksFingerprint() {
			t.Fatal("a read does not compute the digest")
		}
		if _, err := io.Copy(io.Discard, c.Body); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

// OpenVerified verifies each time, also if a read
// has just found it right and it was damaged since.
func TestOpenVerifiedTrustsNothing(t *testing.T) {
	h := newHouse(t, cas.Options{VerifiedFor: time.Hour, HotBlobSize: -1})
	b := castest.RandomBytes(1 << 20)
	d := put(t, h, b)
	blob, err := h.store.Blob(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c, err := h.store.OpenVerified(t.Context(), blob)
		if err != nil {
			t.Fatal(err)
		}
		if _, direct := c.Body.(*os.File); direct || c.ChecksFingerprint() {
			t.Error("a read does not compute the digest")
		}
		if got, err := io.ReadAll(c.Body); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes, error %v", len(got), err)
		}
		c.Close()
	}
	file := filepath.Join(h.dir, "objects", filepath.FromSlash(blob.Object().Key()))
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, castest.RandomBytes(len(b)), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := h.store.OpenVerified(t.Context(), blob)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c.Body); !errors.Is(err, cas.ErrObjectCorrupt) || len(got) == len(b) {
		t.Errorf("%d bytes of a damaged object, error %v", len(got), err)
	}
}

// The row a reader holds may be out of date: the blob has come to lie in a newer
// generation, or is gone.
func TestOpenWithAStaleRow(t *testing.T) {
	h := newHouse(t, cas.Options{HotBlobSize: -1})
	b := castest.RandomBytes(1000)
	d := put(t, h, b)
	stale, err := h.store.Blob(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.store.Delete(t.Context(), d, cas.CondemnOptions{}); err != nil {
		t.Fatal(err)
	}
	refs, err := indextest.StartDeleting(t.Context(), h.collector, 0, 1)
	if err != nil || len(refs) != 1 {
		t.Fatalf("%v, %v", refs, err)
	}
	if err := h.objects.Delete(t.Context(), refs[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.Open(t.Context(), stale, 0, -1); !errors.Is(err, cas.ErrBlobNotFound) {
		t.Errorf("a deleted blob: %v", err)
	}
	put(t, h, b)
	c, err := h.store.Open(t.Context(), stale, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c.Body); err != nil || !bytes.Equal(got, b) || c.Blob.Generation != 1 {
		t.Errorf("%d bytes of generation %d, %v", len(got), c.Blob.Generation, err)
	}
}

func TestNewStoreRefusesNonsense(t *testing.T) {
	for name, o := range map[string]cas.Options{
		"a limit beyond S3's":  {MaxBlobSize: cas.MaxBlobSize + 1},
		"a negative limit":     {MaxBlobSize: -1},
		"no such spool folder": {SpoolDir: filepath.Join(t.TempDir(), "missing")},
	} {
		if s, err := cas.NewStore(nil, nil, o); err == nil {
			s.Close()
			t.Errorf("%s was accepted", name)
		}
	}
}

// BenchmarkPut shows that an upload's allocations do not grow with its size.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20, 16 << 20, 64 << 20} {
		for _, known := range []bool{true, false} {
			name := map[bool]string{true: "known", false: "unknown"}[known]
			b.Run(name+"/"+sizeName(size), func(b *testing.B) {
				h := newHouse(b, cas.Options{})
				data := castest.RandomBytes(size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					data[0], data[1], data[2] = byte(i), byte(i>>8), byte(i>>16)
					u := cas.Upload{Body: bytes.NewReader(data), Size: int64(size)}
					if known {
						b.StopTimer()
						u.Digest = new(cas.DigestOf(data))
						b.StartTimer()
					}
					if _, _, err := h.store.Put(context.Background(), u); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkReadHot(b *testing.B) {
	h := newHouse(b, cas.Options{})
	data := castest.RandomBytes(4096)
	d := cas.DigestOf(data)
	if _, _, err := h.store.Put(context.Background(), cas.Upload{Body: bytes.NewReader(data), Size: 4096}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.read(d); err != nil {
			b.Fatal(err)
		}
	}
}

func sizeName(n int) string {
	if n < 1<<20 {
		return "4KiB"
	}
	return map[int]string{1 << 20: "1MiB", 16 << 20: "16MiB", 64 << 20: "64MiB"}[n]
}
