package indextest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"casgate/cas"
)

// placeOfGoneFile looks for places of files: present, deleted, released, expired, removed
// after they have expired, and never there.
func placeOfGoneFile(t *testing.T, x Index) {
	d := live(t, x, 0)
	present, deleted, released := createFile(t, x, fileOf(t, 1, d)), createFile(t, x, fileOf(t, 2, d)), createFile(t, x, fileOf(t, 3, d))
	pending := plain(t, 4)
	importFiles(t, x, pending)
	expired(t, x, fileOf(t, 5, d))
	for range 2 { // before and after they are removed
		for _, f := range []cas.File{present, deleted, released, pending} {
			at, err := x.FilePosition(t.Context(), f.ID)
			if err != nil || at.ID != f.ID || !at.CreatedAt.Equal(f.CreatedAt) {
				t.Errorf("%s: %+v, %v; want %v", f.ID, at, err, f.CreatedAt)
			}
		}
		if at, err := x.FilePosition(t.Context(), fileID(t, 5)); err != nil || at.CreatedAt.IsZero() {
			t.Errorf("an expired file: %+v, %v", at, err)
		}
		for _, f := range []cas.File{deleted, pending} {
			if _, err := x.DeleteFile(t.Context(), f.ID); err != nil && !errors.Is(err, cas.ErrFileNotFound) {
				t.Fatal(err)
			}
		}
		if _, _, err := x.ReleaseFile(t.Context(), released.ID); err != nil && !errors.Is(err, cas.ErrFileNotFound) {
			t.Fatal(err)
		}
		if _, err := x.ExpireFiles(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{fileID(t, 6), "", "file-\x00", "\xff"} {
		if at, err := x.FilePosition(t.Context(), id); !errors.Is(err, cas.ErrFileNotFound) {
			t.Errorf("%q: %+v, %v", id, at, err)
		}
	}
}

// pageFiles goes through 5,000 files, three of each time, with limits small and large,
// while others come and go among them. One by one, for the time it takes, it goes
// through the last thousand only.
func pageFiles(t *testing.T, x Index) {
	count := 5000
	if testing.Short() {
		count = 500
	}
	at := func(n int) time.Time { return time.Unix(1_700_000_000+int64(n/3), 0).UTC() }
	var files []cas.File
	for n := range count {
		f := plain(t, n)
		f.CreatedAt = at(n)
		files = append(files, f)
	}
	for batch := range slices.Chunk(files, 1000) {
		importFiles(t, x, batch...)
	}
	others := 0
	for _, limit := range []int{1, 7, 100} {
		for _, descending := range []bool{false, true} {
			want := files
			if descending {
				want = slices.Clone(files)
				slices.Reverse(want)
			}
			q := cas.FileQuery{Limit: limit, Descending: descending}
			if limit == 1 {
				q.After = want[count*4/5-1].Cursor()
				want = want[count*4/5:]
			}
			var got []string
			for pages := 0; len(got) <= count; pages++ {
				page := listFiles(t, x, q)
				for _, f := range page {
					if f.Name != "other" {
						got = append(got, f.ID)
					}
				}
				if len(page) < limit {
					break
				}
				q.After = page[len(page)-1].Cursor()
				if pages%100 == 0 {
					other := plain(t, 100_000+others)
					other.Name, other.CreatedAt = "other", at(others*37%count)
					importFiles(t, x, other)
					if others++; others%2 == 0 {
						deleteFile(t, x, fileID(t, 100_000+others-2))
					}
				}
			}
			if !slices.Equal(got, ids(want)) {
				t.Errorf("by %d, newest first %v: there are %d files, and not just the %d, in their order",
					limit, descending, len(got), len(want))
			}
		}
	}
}
