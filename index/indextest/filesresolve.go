package indextest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"casgate/cas"
)

var commitResolvedTests = []test{
	{"commits a new blob, and gives it to the file", func(t *testing.T, x Index) {
		f := imported(t, 1)
		f.MediaType, f.Origin.Error = "", "not found at first"
		importFiles(t, x, f)
		b := blob(digest(t, 0), 0)
		got, err := x.CommitResolved(t.Context(), b, f.ID)
		if err != nil || !got.Created || got.Row.State != cas.StateLive || got.Row.Name != b.Name || got.Row.MediaType != b.MediaType {
			t.Fatalf("CommitResolved: %+v, created %t, error %v", got.Row, got.Created, err)
		}
		f.Digest, f.Size, f.MediaType, f.Origin.Error = b.Digest, size, b.MediaType, ""
		sameFile(t, "the file", got.File, f)
		sameFile(t, "the existing file", getFile(t, x, f.ID), f)
		expect(t, x, b.Digest, cas.StateLive, 0)
		inUse(t, x, b.Digest)
		deleteFile(t, x, f.ID)
		condemn(t, x, b.Digest)
	}},
	{"commits as Commit does, in every state of the row", func(t *testing.T, x Index) {
		for i, state := range states {
			for generation := range int32(2) {
				n := 2*i + int(generation)
				importFiles(t, x, imported(t, n))
				with, without := blob(digest(t, n), 0), blob(digest(t, 100+n), 0)
				arrange(t, x, with, state)
				arrange(t, x, without, state)
				with.Generation, without.Generation = generation, generation
				want, wantCreated := commit(t, x, without)
				got, err := x.CommitResolved(t.Context(), with, fileID(t, n))
				what := fmt.Sprintf("CommitResolved of generation %d, where it is %s", generation, state)
				if err != nil || got.Created != wantCreated || got.Row.State != want.State || got.Row.Generation != want.Generation || got.Row.Digest != with.Digest {
					t.Errorf("%s: %+v, created %t, error %v; want %+v, %t", what, got.Row, got.Created, err, want, wantCreated)
				}
				now := getFile(t, x, fileID(t, n))
				if resolved := !now.IsPending(); resolved != (want.State == cas.StateLive) || resolved != (got.File.ID != "") {
					t.Errorf("%s: resolved %t, and returned %+v", what, resolved, got.File)
				}
			}
		}
	}},
	{"leaves a row of another size alone, and the file", func(t *testing.T, x Index) {
		importFiles(t, x, imported(t, 1))
		b := blob(live(t, x, 0), 0)
		b.Size++
		got, err := x.CommitResolved(t.Context(), b, fileID(t, 1))
		if err != nil || got.Created || got.Row.Size != size || got.File.ID != "" {
			t.Errorf("%+v, created %t, file %+v, error %v", got.Row, got.Created, got.File, err)
		}
		sameFile(t, "the file", getFile(t, x, fileID(t, 1)), imported(t, 1))
		condemn(t, x, b.Digest)
	}},
	{"leaves a file that has a blob as it is", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		importFiles(t, x, imported(t, 1))
		first := resolve(t, x, fileID(t, 1), d)
		b := blob(digest(t, 1), 0)
		got, err := x.CommitResolved(t.Context(), b, first.ID)
		if err != nil || !got.Created || got.Row.State != cas.StateLive {
			t.Errorf("%+v, created %t, error %v", got.Row, got.Created, err)
		}
		sameFile(t, "the file", got.File, first)
		condemn(t, x, b.Digest)
		inUse(t, x, d)
	}},
	{"commits the blob even if there is no such file", func(t *testing.T, x Index) {
		importFiles(t, x, imported(t, 1))
		ageFile(t, x, fileID(t, 1), 2*long)
		for i, id := range []string{fileID(t, 0), fileID(t, 1), "", "file-\x00"} {
			b := blob(digest(t, i), 0)
			got, err := x.CommitResolved(t.Context(), b, id)
			noFile(t, fmt.Sprintf("CommitResolved(%q)", id), err)
			if !got.Created || got.Row.State != cas.StateLive {
				t.Errorf("%q: %+v, created %t", id, got.Row, got.Created)
			}
			condemn(t, x, b.Digest)
		}
	}},
	{"refuses a blob that can't be committed", func(t *testing.T, x Index) {
		importFiles(t, x, imported(t, 1))
		b := blob(digest(t, 0), 0)
		b.Name = "\x00"
		if _, err := x.CommitResolved(t.Context(), b, fileID(t, 1)); err == nil || errors.Is(err, cas.ErrIndexUnavailable) {
			t.Errorf("error %v", err)
		}
		expect(t, x, b.Digest, none, 0)
		sameFile(t, "the file", getFile(t, x, fileID(t, 1)), imported(t, 1))
	}},
	{"of many at once one gives the file its blob, among deletes", func(t *testing.T, x Index) {
		for round := range rounds {
			importFiles(t, x, imported(t, round))
			id := fileID(t, round)
			bs := []cas.Blob{blob(digest(t, 2*round), 0), blob(digest(t, 2*round+1), 0)}
			var brought atomic.Int32
			together(6, func(i int) {
				if i == 5 {
					if _, err := x.DeleteFile(t.Context(), id); round%2 == 0 && err != nil && !errors.Is(err, cas.ErrFileNotFound) {
						t.Errorf("DeleteFile: %v", err)
					}
					return
				}
				got, err := x.CommitResolved(t.Context(), bs[i%2], id)
				if got.Row.State != cas.StateLive || err != nil && !errors.Is(err, cas.ErrFileNotFound) || err == nil && got.File.IsPending() {
					t.Errorf("%+v, %+v, %v", got.Row, got.File, err)
				}
				if got.Created {
					brought.Add(1)
				}
			})
			if brought.Load() != 2 {
				t.Errorf("%d brought the two", brought.Load())
			}
		}
	}},
}
