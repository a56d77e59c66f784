package operationapi

import (
	"context"
	"slices"
	"testing"
	"time"

	"casgate/cas/journal"
)

// table is a journal of records with the given positions, the newest first. A record
// begins as many seconds after the epoch as its position. It counts the records that a
// query for a time looks at.
type table struct {
	Journal
	rows   []journal.Cursor
	looked int
}

func (j *table) Records(_ context.Context, q journal.Query) (page []journal.Entry, err error) {
	for _, at := range j.rows {
		if len(page) == q.Limit {
			break
		}
		if q.Before != 0 && at >= q.Before || at <= q.After {
			continue
		}
		if !q.Until.IsZero() {
			j.looked++
		}
		if start := time.Unix(int64(at), 0); q.Until.IsZero() || start.Before(q.Until) {
			page = append(page, journal.Entry{Cursor: at})
		}
	}
	return page, nil
}

// A list of old records does not look at all newer ones: it goes on from page to page,
// and the pages together have each record once.
func TestListIsBounded(t *testing.T) {
	t.Parallel()
	j := &table{}
	for at := journal.Cursor(3 * listWindow); at > 2*listWindow; at-- {
		j.rows = append(j.rows, at)
	}
	for at := journal.Cursor(20); at > 0; at-- { // after a large gap
		j.rows = append(j.rows, at)
	}
	h := &Handlers{Journal: j}
	for until, want := range map[int64]int{10: 9, 2*listWindow + 5: 24, 9 * listWindow: listWindow + 20} {
		var got []journal.Cursor
		q := journal.Query{Limit: 7000, Until: time.Unix(until, 0)}
		for {
			bounded := q
			next, err := h.bound(t.Context(), &bounded)
			if err != nil {
				t.Fatal(err)
			}
			j.looked = 0
			page, err := j.Records(t.Context(), bounded)
			if err != nil {
				t.Fatal(err)
			}
			if j.looked > listWindow+1 {
				t.Errorf("until %d: a page looked at %d records", until, j.looked)
			}
			for _, entry := range page {
				got = append(got, entry.Cursor)
			}
			if len(page) == q.Limit {
				next = page[len(page)-1].Cursor
			}
			if next == 0 {
				break
			}
			q.Before = next
		}
		if len(got) != want || !slices.IsSortedFunc(got, func(a, b journal.Cursor) int { return int(b - a) }) || len(slices.Compact(got)) != want {
			t.Errorf("until %d: %d records, want %d", until, len(got), want)
		}
	}
}
