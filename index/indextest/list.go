package indextest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"casgate/cas"
)

var missingTests = []test{
	{"returns all but live blobs", func(t *testing.T, x Index) {
		var ask, want []cas.Digest
		for i, state := range slices.Backward(states) {
			d := digest(t, i)
			arrange(t, x, blob(d, 0), state)
			ask = append(ask, d)
			if state != cas.StateLive {
				want = append(want, d)
			}
		}
		same(t, "the missing digests", missing(t, x, ask), want)
	}},
	{"keeps order and duplicates", func(t *testing.T, x Index) {
		a, b, live := digest(t, 0), digest(t, 1), digest(t, 2)
		commit(t, x, blob(live, 0))
		same(t, "the missing digests", missing(t, x, []cas.Digest{b, live, a, b, live, b}), []cas.Digest{b, a, b, b})
	}},
	{"answers about none", func(t *testing.T, x Index) {
		if got := missing(t, x, nil); len(got) != 0 {
			t.Errorf("of no digests %v are missing", got)
		}
	}},
	{"answers about a thousand", func(t *testing.T, x Index) {
		var ask, want []cas.Digest
		for i := range 1000 {
			d := digest(t, i)
			ask = append(ask, d)
			if i%100 == 0 {
				commit(t, x, blob(d, 0))
			} else {
				want = append(want, d)
			}
		}
		same(t, "the missing digests", missing(t, x, ask), want)
	}},
}

// missing calls Missing, and fails the test on an error.
func missing(t testing.TB, x Index, ds []cas.Digest) []cas.Digest {
	t.Helper()
	got, err := x.Missing(t.Context(), ds)
	if err != nil {
		t.Fatalf("Missing of %d: %v", len(ds), err)
	}
	return got
}

// pages lists everything, a page at a time.
func pages(t testing.TB, x Index, q cas.Query) []cas.Blob {
	t.Helper()
	var all []cas.Blob
	for {
		page, err := x.List(t.Context(), q)
		if err != nil {
			t.Fatalf("List: %v", err)
		}
		if len(page) > q.Limit {
			t.Fatalf("a page of %d, with a limit of %d", len(page), q.Limit)
		}
		all = append(all, page...)
		if len(page) < q.Limit {
			return all
		}
		last := page[len(page)-1]
		q.After = cas.Cursor{CreatedAt: last.CreatedAt, Digest: last.Digest}
	}
}

// order is that of a listing.
func order(a, b cas.Blob) int {
	if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
		return c
	}
	return slices.Compare(a.Digest[:], b.Digest[:])
}

var listTests = []test{
	{"shows visible blobs only", func(t *testing.T, x Index) {
		for i, state := range states {
			if state == cas.StateCondemned {
				continue // arranging others would take it
			}
			arrange(t, x, blob(digest(t, i), 0), state)
		}
		arrange(t, x, blob(digest(t, 100), 0), cas.StateCondemned)
		got := pages(t, x, cas.Query{Limit: 100})
		if len(got) != 2 || got[0].State != cas.StateLive || got[1].State != cas.StateSuspect {
			t.Errorf("the listing is %+v", got)
		}
		for _, b := range got {
			row, err := x.Blob(t.Context(), b.Digest)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "a row of the listing", b, row)
		}
	}},
	{"pages by creation, with any limit", func(t *testing.T, x Index) {
		var want []cas.Blob
		for i := range 10 {
			row, _ := commit(t, x, blob(digest(t, i), 0))
			want = append(want, row)
		}
		slices.SortFunc(want, order)
		for _, limit := range []int{1, 2, 3, 9, 10, 11} {
			same(t, fmt.Sprintf("the listing by %d", limit), pages(t, x, cas.Query{Limit: limit}), want)
		}
	}},
	{"pages among blobs of one creation time", func(t *testing.T, x Index) {
		at := time.Now().Add(-time.Hour)
		for i := range 10 {
			setTimeOf(t, x, blob(digest(t, i), 0), cas.StateLive, at)
		}
		got := pages(t, x, cas.Query{Limit: 3})
		if len(got) != 10 || !slices.IsSortedFunc(got, order) {
			t.Errorf("the listing is %+v", got)
		}
	}},
	{"goes on behind a blob that was deleted meanwhile", func(t *testing.T, x Index) {
		var rows []cas.Blob
		for i := range 4 {
			row, _ := commit(t, x, blob(digest(t, i), 0))
			rows = append(rows, row)
		}
		slices.SortFunc(rows, order)
		condemn(t, x, rows[1].Digest)
		got, err := x.List(t.Context(), cas.Query{Limit: 10, After: cas.Cursor{CreatedAt: rows[1].CreatedAt, Digest: rows[1].Digest}})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the rest of the listing", got, rows[2:])
	}},
	{"filters", func(t *testing.T, x Index) {
		for i := range 8 {
			b := blob(digest(t, i), 0)
			b.Size = int64(i / 2)
			b.MediaType = []string{"text/plain; charset=utf-8", "image/png"}[i%2]
			commit(t, x, b)
		}
		zero, two := int64(0), int64(2)
		for _, c := range []struct {
			name  string
			query cas.Query
			want  int
		}{
			{"nothing", cas.Query{}, 8},
			{"media type", cas.Query{MediaType: "image/png"}, 4},
			{"all of a media type", cas.Query{MediaType: "text/plain; charset=utf-8"}, 4},
			{"another media type", cas.Query{MediaType: "image/gif"}, 0},
			{"the beginning of a media type", cas.Query{MediaType: "image"}, 0},
			{"at least", cas.Query{MinSize: 2}, 4},
			{"at most", cas.Query{MaxSize: &two}, 6},
			{"empty ones", cas.Query{MaxSize: &zero}, 2},
			{"both bounds", cas.Query{MinSize: 1, MaxSize: &two}, 4},
			{"everything", cas.Query{MinSize: 1, MaxSize: &two, MediaType: "text/plain"}, 2},
		} {
			c.query.Limit = 3
			if got := pages(t, x, c.query); len(got) != c.want {
				t.Errorf("filter by %s: %d blobs; want %d", c.name, len(got), c.want)
			}
		}
	}},
	{"skips, and ends a part of the listing", func(t *testing.T, x Index) {
		var rows []cas.Blob
		for i := range 6 {
			row, _ := commit(t, x, blob(digest(t, i), 0))
			rows = append(rows, row)
		}
		slices.SortFunc(rows, order)
		condemn(t, x, rows[1].Digest)
		rows = slices.Delete(rows, 1, 2)
		var after cas.Cursor
		for i := 0; i < len(rows); i += 2 {
			end, err := x.Skip(t.Context(), after, 2)
			if err != nil {
				t.Fatal(err)
			}
			if isLast := i+2 > len(rows); (end == cas.Cursor{}) != isLast {
				t.Fatalf("2 blobs after %d: the position is %+v", i, end)
			}
			got, err := x.List(t.Context(), cas.Query{Limit: 10, After: after, Through: end})
			if err != nil {
				t.Fatal(err)
			}
			same(t, "a part of the listing", got, rows[i:min(i+2, len(rows))])
			after = end
		}
		if end, err := x.Skip(t.Context(), cas.Cursor{CreatedAt: rows[4].CreatedAt, Digest: rows[4].Digest}, 1); err != nil || end != (cas.Cursor{}) {
			t.Errorf("after the last blob there is %+v, %v", end, err)
		}
	}},
	{"finds digests in a range", func(t *testing.T, x Index) {
		at := func(first, last byte) (d cas.Digest) {
			d[0], d[31] = first, last
			return d
		}
		var want []cas.Digest
		for i, d := range []cas.Digest{at(7, 0), at(7, 1), at(7, 255), at(6, 255), at(8, 0)} {
			commit(t, x, blob(d, 0))
			if i < 3 {
				want = append(want, d)
			}
		}
		hidden := at(7, 3)
		commit(t, x, blob(hidden, 0))
		condemn(t, x, hidden)
		for _, limit := range []int{1, 2, 3, 10} {
			found, err := x.Between(t.Context(), at(7, 0), at(7, 255), limit)
			if err != nil {
				t.Fatal(err)
			}
			var got []cas.Digest
			for _, b := range found {
				got = append(got, b.Digest)
			}
			same(t, "the digests in the range", got, want[:min(limit, len(want))])
		}
	}},
	{"refuses a limit below one", func(t *testing.T, x Index) {
		if _, err := x.List(t.Context(), cas.Query{}); err == nil {
			t.Error("no error")
		}
	}},
}
