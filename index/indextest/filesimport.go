package indextest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"casgate/cas"
)

// importFiles imports and fails the test unless all are stored.
func importFiles(t testing.TB, x Index, files ...cas.File) {
	t.Helper()
	stored, err := x.ImportFiles(t.Context(), files, cas.ImportFilesOptions{})
	if err != nil || len(stored) != len(files) {
		t.Fatalf("ImportFiles stored %d of %d, error %v", len(stored), len(files), err)
	}
}

// resolve calls ResolveFile, and fails the test on an error.
func resolve(t testing.TB, x Index, id string, d cas.Digest) cas.File {
	t.Helper()
	f, err := x.ResolveFile(t.Context(), id, blob(d, 0))
	if err != nil {
		t.Fatalf("ResolveFile(%s): %v", id, err)
	}
	return f
}

var importFilesTests = []test{
	{"stores files as they are, with their creation", func(t *testing.T, x Index) {
		bare := fileOf(t, 3, cas.Digest{})
		bare.Size, bare.MediaType, bare.CreatedAt = -1, "", time.Unix(5, 0).UTC()
		bare.Origin = &cas.Origin{Source: "old", Key: "k"}
		sized := imported(t, 2)
		sized.Size, sized.AccessedAt, sized.Origin.Error = 0, later(-time.Hour), "missing"
		for _, f := range []cas.File{imported(t, 1), sized, bare} {
			importFiles(t, x, f)
			sameFile(t, "the file", getFile(t, x, f.ID), f)
		}
	}},
	{"gives a file without a creation time the present", func(t *testing.T, x Index) {
		f := imported(t, 1)
		f.CreatedAt = time.Time{}
		importFiles(t, x, f)
		if at := getFile(t, x, f.ID).CreatedAt; time.Since(at).Abs() > 24*time.Hour {
			t.Errorf("created at %s", at)
		}
	}},
	{"leaves files that are there as they are", func(t *testing.T, x Index) {
		first := imported(t, 1)
		importFiles(t, x, first)
		resolved := imported(t, 2)
		importFiles(t, x, resolved)
		done := resolve(t, x, resolved.ID, live(t, x, 0))
		changed := imported(t, 1)
		changed.Name = "another.txt"
		for _, batch := range [][]cas.File{{changed, imported(t, 2)}, {imported(t, 2), imported(t, 3), changed}, {imported(t, 3)}} {
			stored, err := x.ImportFiles(t.Context(), batch, cas.ImportFilesOptions{})
			if want := len(batch) / 3; err != nil || len(stored) != want || (want == 1 && stored[0] != fileID(t, 3)) {
				t.Errorf("ImportFiles of %d stored %v, error %v; want %d", len(batch), stored, err, want)
			}
		}
		sameFile(t, "the pending file", getFile(t, x, first.ID), first)
		sameFile(t, "the resolved file", getFile(t, x, resolved.ID), done)
	}},
	{"stores a thousand, and an id once", func(t *testing.T, x Index) {
		var batch []cas.File
		var want []string
		for n := range 1000 {
			batch = append(batch, plain(t, n))
			want = append(want, fileID(t, n))
		}
		twice := plain(t, 500)
		twice.Name = "second.txt"
		stored, err := x.ImportFiles(t.Context(), append(batch, twice), cas.ImportFilesOptions{})
		slices.Sort(stored)
		if err != nil || !slices.Equal(stored, want) {
			t.Fatalf("ImportFiles stored %d, error %v", len(stored), err)
		}
		sameFile(t, "the file that was there twice", getFile(t, x, twice.ID), batch[500])
		if again, err := x.ImportFiles(t.Context(), batch, cas.ImportFilesOptions{}); err != nil || len(again) != 0 {
			t.Errorf("ImportFiles again stored %d, error %v", len(again), err)
		}
		if none, err := x.ImportFiles(t.Context(), nil, cas.ImportFilesOptions{}); err != nil || len(none) != 0 {
			t.Errorf("ImportFiles of none stored %v, error %v", none, err)
		}
	}},
	{"may use the id of a file that has expired", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		expired(t, x, fileOf(t, 1, d))
		importFiles(t, x, imported(t, 1), imported(t, 2))
		sameFile(t, "the file", getFile(t, x, fileID(t, 1)), imported(t, 1))
		condemn(t, x, d)
	}},
	{"does not bring back what was deleted, unless asked to", func(t *testing.T, x Index) {
		importFiles(t, x, imported(t, 1), imported(t, 2), imported(t, 3))
		resolve(t, x, fileID(t, 2), live(t, x, 0))
		deleteFile(t, x, fileID(t, 1))
		deleteFile(t, x, fileID(t, 2))
		createFile(t, x, fileOf(t, 4, digest(t, 0)))
		deleteFile(t, x, fileID(t, 4)) // of an upload
		again := func(o cas.ImportFilesOptions) []string {
			ids := []string{fileID(t, 1), fileID(t, 2), fileID(t, 3), fileID(t, 4)}
			known, err := x.KnownImports(t.Context(), append(ids, "unknown"), o)
			if err != nil {
				t.Fatal(err)
			}
			stored, err := x.ImportFiles(t.Context(), []cas.File{imported(t, 1), imported(t, 2), imported(t, 3), imported(t, 4)}, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range append(ids, "unknown") {
				if slices.Contains(known, id) == (slices.Contains(stored, id) || id == "unknown") {
					t.Errorf("%s: known as %v, stored were %v", id, known, stored)
				}
			}
			slices.Sort(stored)
			return stored
		}
		for range 2 {
			for n := 1; n <= 4; n++ {
				ageFile(t, x, fileID(t, n), 48*time.Hour) // of the others, when they were deleted
			}
			if _, err := x.ExpireFiles(t.Context(), 10); err != nil { // forgets the places of deleted files
				t.Fatal(err)
			}
			if stored := again(cas.ImportFilesOptions{}); len(stored) > 0 && !slices.Equal(stored, []string{fileID(t, 4)}) {
				t.Errorf("stored %v; want that of an upload at most", stored)
			}
			for _, n := range []int{1, 2} {
				_, err := x.File(t.Context(), fileID(t, n))
				noFile(t, "File", err)
			}
		}
		if stored := again(cas.ImportFilesOptions{WithDeleted: true}); !slices.Equal(stored, []string{fileID(t, 1), fileID(t, 2)}) {
			t.Errorf("with those that were deleted: %v", stored)
		}
		// What came back is like any other.
		expiring := imported(t, 1)
		deleteFile(t, x, expiring.ID)
		if stored := again(cas.ImportFilesOptions{}); len(stored) > 0 {
			t.Errorf("after another delete: %v", stored)
		}
	}},
	{"keeps all keys apart", func(t *testing.T, x Index) {
		for n, key := range []string{"a/../b", `a\b`, "a\nb", strings.Repeat("k/", 500), "{}", `"`} {
			f := imported(t, n)
			f.Origin.Key = key
			importFiles(t, x, f)
			if got := getFile(t, x, f.ID).Origin.Key; got != key {
				t.Errorf("key %q came back as %q", key, got)
			}
		}
	}},
	{"refuses a whole batch if one file can't be imported", func(t *testing.T, x Index) {
		for i, c := range []struct {
			field  string
			change func(f *cas.File)
		}{
			{"origin", func(f *cas.File) { f.Origin = nil }},
			{"origin", func(f *cas.File) { f.Origin.Key = "\xff" }},
			{"digest", func(f *cas.File) { f.Digest = digest(t, 0) }},
			{"size", func(f *cas.File) { f.Size = -2 }},
			{"name", func(f *cas.File) { f.Name = "a/b" }},
			{"id", func(f *cas.File) { f.ID = "7" }},
			{"metadata", func(f *cas.File) { f.Metadata = []byte(`7`) }},
		} {
			f := imported(t, 1)
			c.change(&f)
			_, err := x.ImportFiles(t.Context(), []cas.File{imported(t, 0), f}, cas.ImportFilesOptions{})
			invalid(t, fmt.Sprintf("case %d", i), err, c.field)
		}
		_, err := x.File(t.Context(), fileID(t, 0))
		noFile(t, "File", err)
	}},
}

var resolveFileTests = []test{
	{"gives a pending file its blob", func(t *testing.T, x Index) {
		for i, state := range []cas.State{cas.StateLive, cas.StateSuspect} {
			b := blob(digest(t, i), 0)
			arrange(t, x, b, state)
			f := imported(t, i)
			f.Origin.Error = "it failed before"
			importFiles(t, x, f)
			got := resolve(t, x, f.ID, b.Digest)
			f.Digest, f.Size, f.Origin.Error = b.Digest, size, ""
			sameFile(t, "the file", got, f)
			sameFile(t, "the existing file", getFile(t, x, f.ID), f)
			inUse(t, x, b.Digest)
			deleteFile(t, x, f.ID)
			condemn(t, x, b.Digest)
		}
	}},
	{"fills in a missing media type", func(t *testing.T, x Index) {
		f := imported(t, 1)
		f.MediaType = ""
		importFiles(t, x, f)
		if got := resolve(t, x, f.ID, live(t, x, 0)); got.MediaType != "text/plain" {
			t.Errorf("its media type is %q", got.MediaType)
		}
	}},
	{"wants a visible blob", func(t *testing.T, x Index) {
		f := imported(t, 1)
		importFiles(t, x, f)
		for i, state := range states {
			if state.Visible() {
				continue
			}
			b := blob(digest(t, i), 0)
			arrange(t, x, b, state)
			_, err := x.ResolveFile(t.Context(), f.ID, b)
			notFound(t, fmt.Sprintf("ResolveFile with a %s blob", state), err)
		}
		_, err := x.ResolveFile(t.Context(), f.ID, cas.Blob{})
		notFound(t, "ResolveFile without a digest", err)
		sameFile(t, "the file", getFile(t, x, f.ID), f)
	}},
	{"leaves a file that has a blob as it is", func(t *testing.T, x Index) {
		d, another := live(t, x, 0), live(t, x, 1)
		importFiles(t, x, imported(t, 1))
		first := resolve(t, x, fileID(t, 1), d)
		created := createFile(t, x, fileOf(t, 2, d))
		for _, f := range []cas.File{first, created} {
			for _, b := range []cas.Digest{d, another, digest(t, 9)} {
				sameFile(t, "the file resolved again", resolve(t, x, f.ID, b), f)
			}
		}
		condemn(t, x, another)
		deleteFile(t, x, first.ID)
		deleteFile(t, x, created.ID)
		condemn(t, x, d)
	}},
	{"finds no file that isn't there", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		importFiles(t, x, imported(t, 1))
		ageFile(t, x, fileID(t, 1), 2*long)
		for _, id := range []string{fileID(t, 0), fileID(t, 1), "", "file-\x00"} {
			_, err := x.ResolveFile(t.Context(), id, blob(d, 0))
			noFile(t, fmt.Sprintf("ResolveFile(%q)", id), err)
		}
		condemn(t, x, d)
	}},
}

var failFileTests = []test{
	{"notes why a pending file has no bytes", func(t *testing.T, x Index) {
		f := imported(t, 1)
		importFiles(t, x, f)
		for _, c := range []struct{ reason, want string }{
			{"object missing", "object missing"},
			{"größe «ü» 😀", "größe «ü» 😀"},
			{"a\x00b\xffc", "a\ufffdb\ufffdc"},
		} {
			if err := x.FailFile(t.Context(), f.ID, c.reason); err != nil {
				t.Errorf("FailFile(%q): %v", c.reason, err)
			}
			f.Origin.Error = c.want
			sameFile(t, "the file", getFile(t, x, f.ID), f)
		}
		if err := x.FailFile(t.Context(), f.ID, strings.Repeat("ü", 100_000)); err != nil {
			t.Errorf("FailFile with a long reason: %v", err)
		}
		if got := getFile(t, x, f.ID).Origin.Error; !strings.HasPrefix(got, "üüü") || strings.Trim(got, "ü") != "" {
			t.Errorf("a long reason became %q", got)
		}
	}},
	{"leaves any other file alone", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		importFiles(t, x, imported(t, 1))
		for _, f := range []cas.File{createFile(t, x, fileOf(t, 2, d)), resolve(t, x, fileID(t, 1), d)} {
			if err := x.FailFile(t.Context(), f.ID, "no"); err != nil {
				t.Errorf("FailFile: %v", err)
			}
			sameFile(t, "the file", getFile(t, x, f.ID), f)
		}
	}},
	{"finds no file that isn't there", func(t *testing.T, x Index) {
		importFiles(t, x, imported(t, 1))
		ageFile(t, x, fileID(t, 1), 2*long)
		for _, id := range []string{fileID(t, 0), fileID(t, 1), "", "file-\x00"} {
			noFile(t, fmt.Sprintf("FailFile(%q)", id), x.FailFile(t.Context(), id, "no"))
		}
	}},
}
