package indextest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"casgate/cas"
)

var commitFileTests = []test{
	{"commits a new blob, and creates a file of it", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 0)
		f := fullFile(t, 1, b.Digest)
		f.Size = 0
		got, err := x.CommitFile(t.Context(), b, cas.NewFile{File: f, Unique: true})
		if err != nil || !got.Created || got.Row.State != cas.StateLive || got.Row.Name != b.Name || got.Row.MediaType != b.MediaType {
			t.Fatalf("CommitFile: %+v, created %t, error %v", got.Row, got.Created, err)
		}
		f.Size, f.CreatedAt = size, got.File.CreatedAt
		sameFile(t, "the file", got.File, f)
		sameFile(t, "the existing file", getFile(t, x, f.ID), got.File)
		expect(t, x, b.Digest, cas.StateLive, 0)
		inUse(t, x, b.Digest)
		deleteFile(t, x, f.ID)
		condemn(t, x, b.Digest)
	}},
	{"commits as Commit does, in every state of the row", func(t *testing.T, x Index) {
		for i, state := range states {
			for generation := range int32(2) {
				n := 2*i + int(generation)
				with, without := blob(digest(t, n), 0), blob(digest(t, 100+n), 0)
				arrange(t, x, with, state)
				arrange(t, x, without, state)
				with.Generation, without.Generation = generation, generation
				want, wantCreated := commit(t, x, without)
				got, err := x.CommitFile(t.Context(), with, cas.NewFile{File: fileOf(t, n, with.Digest)})
				what := fmt.Sprintf("CommitFile of generation %d, where it is %s", generation, state)
				if err != nil || got.Created != wantCreated || got.Row.State != want.State || got.Row.Generation != want.Generation || got.Row.Digest != with.Digest {
					t.Errorf("%s: %+v, created %t, error %v; want %+v, %t", what, got.Row, got.Created, err, want, wantCreated)
				}
				if made := got.File.ID != ""; made != (want.State == cas.StateLive) {
					t.Errorf("%s: a file was made: %t", what, made)
				}
				if _, err := x.File(t.Context(), fileID(t, n)); (err == nil) != (want.State == cas.StateLive) {
					t.Errorf("%s: File: %v", what, err)
				}
			}
		}
	}},
	{"leaves a row of another size alone", func(t *testing.T, x Index) {
		b := blob(live(t, x, 0), 0)
		b.Size++
		got, err := x.CommitFile(t.Context(), b, cas.NewFile{File: fileOf(t, 1, b.Digest)})
		if err != nil || got.Created || got.Row.Size != size {
			t.Errorf("%+v, created %t, error %v", got.Row, got.Created, err)
		}
		// The caller finds a broken database, and doesn't report the file to its client.
		if got.File.ID != "" {
			t.Errorf("a file was made: %+v", got.File)
		}
		_, err = x.File(t.Context(), fileID(t, 1))
		noFile(t, "File", err)
	}},
	{"commits the blob even if the file is refused", func(t *testing.T, x Index) {
		for i, spoil := range []func(*cas.File){
			func(f *cas.File) { f.Purpose = "a dance" },
			func(f *cas.File) { f.ID = "not one" },
			func(f *cas.File) { f.ExpiresAt = later(-time.Minute) },
		} {
			b := blob(digest(t, i), 0)
			f := fileOf(t, i, b.Digest)
			spoil(&f)
			got, err := x.CommitFile(t.Context(), b, cas.NewFile{File: f})
			if !errors.Is(err, cas.ErrInvalidFile) || errors.Is(err, cas.ErrIndexUnavailable) || !got.Created || got.Row.State != cas.StateLive {
				t.Errorf("%d: %+v, created %t, error %v", i, got.Row, got.Created, err)
			}
			condemn(t, x, b.Digest)
		}
	}},
	{"refuses a blob that can't be committed", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 0)
		b.Name = "\x00"
		if _, err := x.CommitFile(t.Context(), b, cas.NewFile{File: fileOf(t, 1, b.Digest)}); err == nil || errors.Is(err, cas.ErrIndexUnavailable) {
			t.Errorf("error %v", err)
		}
		expect(t, x, b.Digest, none, 0)
	}},
	{"tells of the oldest file with the same bytes", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		expired(t, x, fileOf(t, 1, d))
		oldest := createFile(t, x, fileOf(t, 2, d))
		createFile(t, x, fileOf(t, 3, d))
		got, err := x.CommitFile(t.Context(), blob(d, 0), cas.NewFile{File: fileOf(t, 4, d), Unique: true})
		if !errors.Is(err, cas.ErrDuplicateFile) || got.Row.State != cas.StateLive {
			t.Errorf("%+v, error %v", got.Row, err)
		}
		sameFile(t, "the other file", got.File, oldest)
		_, err = x.File(t.Context(), fileID(t, 4))
		noFile(t, "File", err)
	}},
	{"returns the existing file", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		there := createFile(t, x, fileOf(t, 1, d))
		other := fileOf(t, 1, d)
		other.Name = "other.txt"
		got, err := x.CommitFile(t.Context(), blob(d, 0), cas.NewFile{File: other, Unique: true})
		if err != nil {
			t.Error(err)
		}
		sameFile(t, "the file", got.File, there)
		expired(t, x, fileOf(t, 2, d))
		if got, err = x.CommitFile(t.Context(), blob(d, 0), cas.NewFile{File: fileOf(t, 2, d)}); err != nil || !got.File.ExpiresAt.IsZero() {
			t.Errorf("in place of one that has expired: %+v, %v", got.File, err)
		}
	}},
	{"of many of the same new bytes all succeed, and one brings them", func(t *testing.T, x Index) {
		for round := range rounds {
			b := blob(digest(t, round), 0)
			var brought, made atomic.Int32
			together(6, func(i int) {
				unique := i%2 == 0
				got, err := x.CommitFile(t.Context(), b, cas.NewFile{File: fileOf(t, 10*round+i, b.Digest), Unique: unique})
				if got.Row.State != cas.StateLive || got.File.ID == "" || err != nil && (!unique || !errors.Is(err, cas.ErrDuplicateFile)) {
					t.Errorf("%+v, %+v, %v", got.Row, got.File, err)
				}
				if got.Created {
					brought.Add(1)
				}
				if err == nil && unique {
					made.Add(1)
				}
			})
			if brought.Load() != 1 || made.Load() > 1 {
				t.Errorf("%d brought the bytes, %d were told that they are the only one", brought.Load(), made.Load())
			}
		}
	}},
}
