package indextest

import (
	"slices"
	"testing"
	"time"

	"casgate/cas"
)

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
