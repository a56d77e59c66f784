package indextest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"casgate/cas"
)

// rounds is how often a race is run.
const rounds = 15

var filesConcurrentTests = []test{
	{"a file is created or its blob is condemned, never both", func(t *testing.T, x Index) {
		for round := range rounds {
			d := live(t, x, round)
			var created, condemned atomic.Int32
			together(6, func(i int) {
				if i%3 == 0 {
					err := x.Condemn(t.Context(), d, cas.CondemnOptions{})
					switch {
					case err == nil:
						condemned.Add(1)
					case !errors.Is(err, cas.ErrBlobInUse) && !errors.Is(err, cas.ErrBlobNotFound):
						t.Errorf("Condemn: %v", err)
					}
					return
				}
				_, err := x.CreateFile(t.Context(), cas.NewFile{File: fileOf(t, 10*round+i, d)})
				switch {
				case err == nil:
					created.Add(1)
				case !errors.Is(err, cas.ErrBlobNotFound):
					t.Errorf("CreateFile: %v", err)
				}
			})
			if (created.Load() > 0) == (condemned.Load() > 0) || condemned.Load() > 1 {
				t.Errorf("round %d: %d files created, the blob condemned %d times", round, created.Load(), condemned.Load())
			}
		}
	}},
	{"a file whose blob also has expired files", func(t *testing.T, x Index) {
		for round := range rounds {
			d := live(t, x, round)
			expired(t, x, fileOf(t, 100+round, d))
			var createErr, condemnErr error
			together(3, func(i int) {
				switch i {
				case 0:
					condemnErr = x.Condemn(t.Context(), d, cas.CondemnOptions{})
				case 1:
					_, createErr = x.CreateFile(t.Context(), cas.NewFile{File: fileOf(t, round, d), Unique: true})
				case 2:
					if _, err := x.ExpireFiles(t.Context(), 10); err != nil {
						t.Errorf("ExpireFiles: %v", err)
					}
				}
			})
			created := createErr == nil && errors.Is(condemnErr, cas.ErrBlobInUse)
			condemned := condemnErr == nil && errors.Is(createErr, cas.ErrBlobNotFound)
			if !created && !condemned {
				t.Errorf("round %d: CreateFile: %v; Condemn: %v", round, createErr, condemnErr)
			}
		}
	}},
	{"one of 16 unique files is created", func(t *testing.T, x Index) {
		for round := range rounds {
			d := live(t, x, round)
			if round%2 == 0 {
				expired(t, x, fileOf(t, 1000+round, d))
			}
			var mu sync.Mutex
			var winners, losers []string
			together(16, func(i int) {
				f, err := x.CreateFile(t.Context(), cas.NewFile{File: fileOf(t, 20*round+i, d), Unique: true})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					winners = append(winners, f.ID)
				case errors.Is(err, cas.ErrDuplicateFile):
					losers = append(losers, f.ID)
				default:
					t.Errorf("CreateFile: %v", err)
				}
			})
			if len(winners) != 1 {
				t.Fatalf("round %d: %d files were created", round, len(winners))
			}
			for _, id := range losers {
				if id != winners[0] {
					t.Errorf("round %d: a duplicate of %s; want %s", round, id, winners[0])
				}
			}
		}
	}},
	{"one file is created under an id, however often at once", func(t *testing.T, x Index) {
		for round := range rounds {
			ds := []cas.Digest{live(t, x, 2*round), live(t, x, 2*round+1)}
			if round%3 == 0 {
				expired(t, x, fileOf(t, round, ds[0]))
			}
			var mu sync.Mutex
			var seen []cas.File
			together(8, func(i int) {
				f, err := x.CreateFile(t.Context(), cas.NewFile{File: fileOf(t, round, ds[i%2]), Unique: i%3 == 0})
				if err != nil {
					t.Errorf("CreateFile: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, f)
			})
			for _, f := range seen {
				sameFile(t, "the file", f, seen[0])
			}
			deleteFile(t, x, fileID(t, round))
			condemn(t, x, ds[0])
			condemn(t, x, ds[1])
		}
	}},
	{"one of many deletes a file", func(t *testing.T, x Index) {
		for round := range rounds {
			d := live(t, x, round)
			createFile(t, x, fileOf(t, 2*round, d))
			createFile(t, x, fileOf(t, 2*round+1, d))
			var deleted atomic.Int32
			together(8, func(int) {
				switch _, err := x.DeleteFile(t.Context(), fileID(t, 2*round)); {
				case err == nil:
					deleted.Add(1)
				case !errors.Is(err, cas.ErrFileNotFound):
					t.Errorf("DeleteFile: %v", err)
				}
			})
			if deleted.Load() != 1 {
				t.Errorf("round %d: deleted %d times", round, deleted.Load())
			}
			inUse(t, x, d)
			deleteFile(t, x, fileID(t, 2*round+1))
			condemn(t, x, d)
		}
	}},
	{"a file is deleted or expires, once", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		const files = 40
		for n := range files {
			f := fileOf(t, n, d)
			f.ExpiresAt = later(long)
			createFile(t, x, f)
		}
		var gone [files]atomic.Int32
		count := func(id string) {
			for n := range files {
				if id == fileID(t, n) {
					gone[n].Add(1)
				}
			}
		}
		expire := func() {
			removed, err := x.ExpireFiles(t.Context(), 7)
			if err != nil {
				t.Errorf("ExpireFiles: %v", err)
			}
			for _, f := range removed {
				count(f.ID)
			}
		}
		together(4, func(i int) {
			for n := range files {
				switch i {
				case 0:
					ageFile(t, x, fileID(t, n), 2*long)
				case 1:
					expire()
				case 2:
					if err := x.TouchFiles(t.Context(), map[string]time.Time{fileID(t, n): time.Now(), fileID(t, files-n): time.Now()}); err != nil {
						t.Errorf("TouchFiles: %v", err)
					}
				default:
					switch f, err := x.DeleteFile(t.Context(), fileID(t, files-1-n)); {
					case err == nil:
						count(f.ID)
					case !errors.Is(err, cas.ErrFileNotFound):
						t.Errorf("DeleteFile: %v", err)
					}
				}
			}
		})
		for range files { // rows that one skipped because another had them locked
			expire()
		}
		for n := range files {
			if times := gone[n].Load(); times != 1 {
				t.Errorf("file %d went %d times", n, times)
			}
		}
		condemn(t, x, d)
	}},
	{"one of many expires each file, even if files share blobs", func(t *testing.T, x Index) {
		var ds []cas.Digest
		for n := range 5 {
			ds = append(ds, live(t, x, n))
		}
		const files = 60
		for n := range files {
			expired(t, x, fileOf(t, n, ds[n*n%len(ds)]))
		}
		var mu sync.Mutex
		gone := map[string]int{}
		expire := func(i int) {
			for range files {
				removed, err := x.ExpireFiles(t.Context(), 3+i)
				if err != nil {
					t.Errorf("ExpireFiles: %v", err)
				}
				mu.Lock()
				for _, f := range removed {
					gone[f.ID]++
				}
				mu.Unlock()
			}
		}
		together(4, expire)
		expire(0)
		for n := range files {
			if gone[fileID(t, n)] != 1 {
				t.Errorf("file %d expired %d times", n, gone[fileID(t, n)])
			}
		}
		for _, d := range ds {
			condemn(t, x, d)
		}
	}},
	{"a pending file is resolved once", func(t *testing.T, x Index) {
		for round := range rounds {
			ds := []cas.Digest{live(t, x, 2*round), live(t, x, 2*round+1)}
			importFiles(t, x, imported(t, round))
			var mu sync.Mutex
			var seen []cas.File
			together(8, func(i int) {
				f, err := x.ResolveFile(t.Context(), fileID(t, round), blob(ds[i%2], 0))
				if err != nil {
					t.Errorf("ResolveFile: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, f)
			})
			for _, f := range seen {
				sameFile(t, "the file", f, seen[0])
			}
			for _, d := range ds {
				if d == seen[0].Digest {
					inUse(t, x, d)
				} else {
					condemn(t, x, d)
				}
			}
		}
	}},
	{"a pending file is resolved or deleted, and its blob kept or condemned", func(t *testing.T, x Index) {
		for round := range rounds {
			d := live(t, x, round)
			importFiles(t, x, imported(t, round))
			id := fileID(t, round)
			var resolveErr, deleteErr, condemnErr error
			together(4, func(i int) {
				switch i {
				case 0:
					_, resolveErr = x.ResolveFile(t.Context(), id, blob(d, 0))
				case 1:
					condemnErr = x.Condemn(t.Context(), d, cas.CondemnOptions{})
				case 2:
					if round%2 == 0 {
						_, deleteErr = x.DeleteFile(t.Context(), id)
					}
				case 3:
					if err := x.FailFile(t.Context(), id, "no"); err != nil && !errors.Is(err, cas.ErrFileNotFound) {
						t.Errorf("FailFile: %v", err)
					}
				}
			})
			for what, err := range map[string]error{"ResolveFile": resolveErr, "DeleteFile": deleteErr, "Condemn": condemnErr} {
				if errors.Is(err, cas.ErrIndexUnavailable) {
					t.Errorf("%s: %v", what, err)
				}
			}
			f, err := x.File(t.Context(), id)
			_, blobErr := x.Blob(t.Context(), d)
			if err == nil && !f.IsPending() && blobErr != nil {
				t.Errorf("round %d: the file is resolved, and its blob: %v", round, blobErr)
			}
			if condemnErr == nil && resolveErr == nil && deleteErr != nil {
				t.Errorf("round %d: resolved and condemned", round)
			}
		}
	}},
	{"each file is imported once", func(t *testing.T, x Index) {
		var batch []cas.File
		for n := range 200 {
			batch = append(batch, imported(t, n))
		}
		var total atomic.Int32
		together(4, func(i int) {
			mine := append(batch[50*i:len(batch):len(batch)], batch[:50*i]...) // each in an order of its own
			stored, err := x.ImportFiles(t.Context(), mine, cas.ImportFilesOptions{})
			if err != nil {
				t.Errorf("ImportFiles: %v", err)
			}
			total.Add(int32(len(stored)))
		})
		if got := len(filePages(t, x, cas.FileQuery{Limit: 1000})); total.Load() != 200 || got != 200 {
			t.Errorf("%d files were stored, and %d are there; want 200", total.Load(), got)
		}
	}},
	{"files of one blob come and go", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		together(8, func(i int) {
			for n := range 10 {
				createFile(t, x, fileOf(t, 100*i+n, d))
				inUse(t, x, d)
				if n%2 == 0 {
					deleteFile(t, x, fileID(t, 100*i+n))
				}
			}
		})
		if got := len(filePages(t, x, cas.FileQuery{Limit: 1000, Digest: d})); got != 40 {
			t.Errorf("there are %d files; want 40", got)
		}
	}},
}
