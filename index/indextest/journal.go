package indextest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/journal"
)

// record is one of its own for each test and number.
func record(t testing.TB, n int) journal.Record {
	return journal.Record{
		ID: fmt.Sprintf("%s %d", t.Name(), n), Kind: journal.KindUpload, Actor: "token:abc", Digest: digest(t, n),
		Start: time.Unix(1_700_000_000+int64(n), 123456000).UTC(), Duration: 1234567 * time.Nanosecond,
		Bytes: size, Outcome: journal.OutcomeOK,
	}
}

// afterAll is after the start of all records of record, and before the day on which the
// database was made: drivers may remove whole days at once.
var afterAll = time.Unix(1_710_000_000, 0)

// appendRecords calls AppendRecords, and fails the test on an error.
func appendRecords(t testing.TB, x Index, records ...journal.Record) {
	t.Helper()
	if err := x.AppendRecords(t.Context(), records); err != nil {
		t.Fatalf("AppendRecords of %d: %v", len(records), err)
	}
}

// listRecords lists a page. It fails the test on an error, or if the page is out of
// order.
func listRecords(t testing.TB, x Index, q journal.Query) []journal.Entry {
	t.Helper()
	page, err := x.Records(t.Context(), q)
	if err != nil {
		t.Fatalf("Records(%+v): %v", q, err)
	}
	if len(page) > q.Limit || !slices.IsSortedFunc(page, func(a, b journal.Entry) int { return int(b.Cursor - a.Cursor) }) {
		t.Fatalf("a page of %d with a limit of %d, or out of order", len(page), q.Limit)
	}
	return page
}

// recordPages lists everything, a page at a time, oldest first.
func recordPages(t testing.TB, x Index, q journal.Query) []journal.Record {
	t.Helper()
	var all []journal.Record
	for {
		page := listRecords(t, x, q)
		for _, e := range page {
			all = append(all, e.Record)
		}
		if len(page) < q.Limit {
			slices.Reverse(all)
			return all
		}
		q.Before = page[len(page)-1].Cursor
	}
}

// journalCalls lists one call of each method of the journal.
func journalCalls(x Index, r journal.Record) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"AppendRecords": func(ctx context.Context) error { return x.AppendRecords(ctx, []journal.Record{r}) },
		"Records":       func(ctx context.Context) error { _, err := x.Records(ctx, journal.Query{Limit: 1}); return err },
		"Record":        func(ctx context.Context) error { _, err := x.Record(ctx, r.ID); return err },
		"PruneRecords": func(ctx context.Context) error {
			_, err := x.PruneRecords(ctx, journal.Prune{Before: time.Now(), Limit: 1})
			return err
		},
	}
}

var journalTests = []test{
	{"returns the appended records, newest first", func(t *testing.T, x Index) {
		want := []journal.Record{
			record(t, 1),
			{
				ID: "op", Kind: journal.KindEvict, Actor: "gateway", Digest: digest(t, 2), FileID: "file-1", Provider: provider,
				Start: later(0), Duration: time.Hour, Bytes: 1 << 62, Outcome: journal.OutcomeFailed, ErrorCode: "provider_failed",
			},
			{ID: "bare", Kind: journal.KindReconcile, Actor: "cli", Start: later(-time.Hour), Outcome: journal.OutcomeBroken},
			{
				ID: "the first of many", Kind: journal.KindDownload, Actor: "token:abc", Digest: digest(t, 3), Start: later(-time.Minute),
				Duration: time.Second, Bytes: 1 << 50, Outcome: journal.OutcomeOK, Count: 1 << 40, LastStart: later(0),
			},
		}
		appendRecords(t, x, want[0])
		appendRecords(t, x, want[1:]...)
		appendRecords(t, x)
		same(t, "the journal", recordPages(t, x, journal.Query{Limit: 100}), want)
	}},
	{"keeps a thousand and one in their order", func(t *testing.T, x Index) {
		var want []journal.Record
		for n := range 1001 {
			r := record(t, n)
			r.Start = r.Start.Add(-time.Duration(n*n%997) * time.Second)
			want = append(want, r)
		}
		appendRecords(t, x, want...)
		same(t, "the journal", recordPages(t, x, journal.Query{Limit: 300}), want)
	}},
	{"appends all or none", func(t *testing.T, x Index) {
		const batches, each = 50, 40
		for n := range batches {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				x.AppendRecords(ctx, slices.Repeat([]journal.Record{record(t, n)}, each))
			}()
			cancel()
			<-done
		}
		counts := map[string]int{}
		for _, r := range recordPages(t, x, journal.Query{Limit: 1000}) {
			counts[r.ID]++
		}
		for id, count := range counts {
			if count != each {
				t.Errorf("%d records of %s; want %d or none", count, id, each)
			}
		}
	}},
	{"pages without loss or repeat", func(t *testing.T, x Index) {
		var want []journal.Record
		for n := range 50 {
			want = append(want, record(t, n))
		}
		appendRecords(t, x, want...)
		for _, limit := range []int{1, 7, 49, 50, 51} {
			same(t, fmt.Sprintf("the journal by %d", limit), recordPages(t, x, journal.Query{Limit: limit}), want)
		}
		entries := listRecords(t, x, journal.Query{Limit: 100})
		after := recordPages(t, x, journal.Query{Limit: 7, After: entries[20].Cursor})
		same(t, "the records after", after, want[30:])
		between := listRecords(t, x, journal.Query{Limit: 100, After: entries[20].Cursor, Before: entries[10].Cursor})
		same(t, "the records between", between, entries[11:20])
		if got := listRecords(t, x, journal.Query{Limit: 1, After: entries[0].Cursor}); len(got) != 0 {
			t.Errorf("after the newest came %v", got)
		}
	}},
	{"filters, by any number of filters at once", filterRecords},
	{"filters by when operations began", func(t *testing.T, x Index) {
		var all []journal.Record
		for n := range 10 {
			r := record(t, n)
			r.Start = time.Unix(1_700_000_000+int64(n*7%10), 0).UTC() // not in the order of the records
			all = append(all, r)
		}
		appendRecords(t, x, all...)
		at := func(n int) time.Time { return time.Unix(1_700_000_000+int64(n), 0) }
		for i, c := range []struct {
			since, until time.Time
			want         int
		}{
			{at(0), at(10), 10}, {at(3), time.Time{}, 7}, {time.Time{}, at(3), 3}, {at(3), at(4), 1}, {at(3), at(3), 0}, {at(10), time.Time{}, 0},
		} {
			got := recordPages(t, x, journal.Query{Limit: 3, Since: c.since, Until: c.until})
			for _, r := range got {
				if r.Start.Before(c.since) || (!c.until.IsZero() && !r.Start.Before(c.until)) {
					t.Errorf("case %d: an operation that began at %s", i, r.Start)
				}
			}
			if len(got) != c.want {
				t.Errorf("case %d: %d records; want %d", i, len(got), c.want)
			}
		}
	}},
	{"finds a record of several operations by its last one", func(t *testing.T, x Index) {
		gathered := record(t, 1)
		gathered.Count, gathered.LastStart = 5, gathered.Start.Add(40*time.Second)
		before := record(t, 2)
		before.Start = gathered.Start
		appendRecords(t, x, gathered, before)
		for after, want := range map[time.Duration][]journal.Record{
			0: {before, gathered}, time.Second: {gathered}, 40 * time.Second: {gathered}, 41 * time.Second: nil,
		} {
			got := recordPages(t, x, journal.Query{Limit: 10, Since: gathered.Start.Add(after)})
			if len(got) != len(want) || len(want) == 1 && got[0].ID != gathered.ID {
				t.Errorf("%v after its first operation: %d records, want %d", after, len(got), len(want))
			}
		}
	}},
	{"returns the newest record of an operation", func(t *testing.T, x Index) {
		first, second := record(t, 1), record(t, 1)
		second.Kind, second.Start = journal.KindSync, first.Start.Add(-time.Hour)
		appendRecords(t, x, first, record(t, 2))
		appendRecords(t, x, second)
		appendRecords(t, x, record(t, 3))
		got, err := x.Record(t.Context(), first.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the record", got.Record, second)
		if page := listRecords(t, x, journal.Query{Limit: 2}); page[1] != got {
			t.Errorf("the record is %+v; the listing has %+v", got, page[1])
		}
		for _, id := range []string{"", "absent", "a\x00", "\xff", strings.Repeat("x", 5000)} {
			_, err := x.Record(t.Context(), id)
			if !errors.Is(err, journal.ErrNotFound) || errors.Is(err, cas.ErrIndexUnavailable) {
				t.Errorf("Record(%.20q): error %v; want one that wraps ErrNotFound only", id, err)
			}
		}
	}},
	{"loses no batch because of a text that can't be stored", func(t *testing.T, x Index) {
		for n, text := range []string{"a\x00b", "\xff", "a\xc3", "😀\n'\"", strings.Repeat("lang ", 5000), strings.Repeat("ü", 5000)} {
			r := record(t, n)
			r.ID += text
			r.Actor, r.FileID, r.Provider, r.ErrorCode = text, text, text, text
			r.Kind, r.Outcome = journal.Kind(text), journal.Outcome(text)
			appendRecords(t, x, record(t, 100+n), r)
			for i, q := range []journal.Query{{Kind: r.Kind}, {Actor: text}, {FileID: text}, {Provider: text}, {Outcome: r.Outcome}} {
				q.Limit, q.Digest = 10, r.Digest
				if got := listRecords(t, x, q); len(got) != 1 || got[0].Bytes != r.Bytes {
					t.Errorf("filter %d by %.20q: %d records", i, text, len(got))
				}
			}
			if got, err := x.Record(t.Context(), r.ID); err != nil || got.Digest != r.Digest {
				t.Errorf("Record(%.50q): %+v, error %v", r.ID, got, err)
			}
		}
	}},
	{"prunes the oldest first, and keeps to the limit", func(t *testing.T, x Index) {
		var all []journal.Record
		for n := range 10 {
			r := record(t, n)
			r.Start = time.Unix(1_700_000_000+int64(n*7%10), 0).UTC()
			all = append(all, r)
		}
		appendRecords(t, x, all...)
		before := time.Unix(1_700_000_006, 0) // which itself stays
		for _, c := range []struct{ limit, want, oldest int }{{4, 4, 4}, {4, 2, 6}, {4, 0, 6}} {
			pruned, err := x.PruneRecords(t.Context(), journal.Prune{Before: before, Limit: c.limit})
			if err != nil || pruned != c.want {
				t.Errorf("PruneRecords removed %d, error %v; want %d", pruned, err, c.want)
			}
			want := slices.DeleteFunc(slices.Clone(all), func(r journal.Record) bool { return r.Start.Unix() < 1_700_000_000+int64(c.oldest) })
			same(t, "the records that are left", recordPages(t, x, journal.Query{Limit: 100}), want)
		}
	}},
	{"prunes what is more than it keeps", func(t *testing.T, x Index) {
		var all []journal.Record
		for n := range 10 {
			r := record(t, n)
			r.Start = time.Unix(1_700_000_000+int64(n*7%10), 0).UTC() // not in the order of the records
			all = append(all, r)
		}
		appendRecords(t, x, all...)
		for _, c := range []struct {
			p          journal.Prune
			want, left int
		}{
			{journal.Prune{Keep: 10, Limit: 100}, 0, 10}, {journal.Prune{Keep: 7, Limit: 2}, 2, 8}, {journal.Prune{Keep: 7, Limit: 2}, 1, 7},
			{journal.Prune{Keep: 7, Limit: 2}, 0, 7}, {journal.Prune{Limit: 2}, 0, 7}, {journal.Prune{Keep: 100, Limit: 2}, 0, 7},
		} {
			pruned, err := x.PruneRecords(t.Context(), c.p)
			if err != nil || pruned != c.want {
				t.Errorf("PruneRecords(%+v) removed %d, error %v; want %d", c.p, pruned, err, c.want)
			}
			same(t, "the records that are left", recordPages(t, x, journal.Query{Limit: 100}), all[10-c.left:])
		}
		// Both bounds at once: by their time all but the last, of seven.
		pruned, err := x.PruneRecords(t.Context(), journal.Prune{Before: all[9].Start, Keep: 5, Limit: 100})
		if err != nil {
			t.Error(err)
		}
		left := recordPages(t, x, journal.Query{Limit: 100})
		if pruned+len(left) != 7 || len(left) > 5 || slices.ContainsFunc(left, func(r journal.Record) bool { return r.Start.Before(all[9].Start) }) {
			t.Errorf("PruneRecords removed %d, and left %+v", pruned, left)
		}
	}},
	{"never gives out a cursor twice", func(t *testing.T, x Index) {
		appendRecords(t, x, record(t, 1), record(t, 2))
		last := listRecords(t, x, journal.Query{Limit: 1})[0].Cursor
		if pruned, err := x.PruneRecords(t.Context(), journal.Prune{Before: afterAll, Limit: 10}); err != nil || pruned != 2 {
			t.Fatalf("PruneRecords removed %d, error %v", pruned, err)
		}
		appendRecords(t, x, record(t, 3))
		if got := listRecords(t, x, journal.Query{Limit: 10, After: last}); len(got) != 1 {
			t.Errorf("after %d came %+v", last, got)
		}
	}},
	{"refuses a limit below one", func(t *testing.T, x Index) {
		if _, err := x.Records(t.Context(), journal.Query{}); err == nil {
			t.Error("Records: no error")
		}
		if _, err := x.PruneRecords(t.Context(), journal.Prune{Before: afterAll}); err == nil {
			t.Error("PruneRecords: no error")
		}
	}},
	{"hides nothing from a follower", func(t *testing.T, x Index) {
		const writers, batches, each = 8, 15, 3
		written := make(chan struct{})
		go func() {
			defer close(written)
			together(writers, func(i int) {
				for n := range batches {
					var batch []journal.Record
					for j := range each {
						batch = append(batch, record(t, i*batches*each+n*each+j))
					}
					if err := x.AppendRecords(t.Context(), batch); err != nil {
						t.Errorf("AppendRecords: %v", err)
					}
				}
			})
		}()
		seen := map[string]int{}
		var last journal.Cursor
		for more := true; more; {
			select {
			case <-written:
				more = false // and once again
			default:
			}
			page := listRecords(t, x, journal.Query{Limit: 1000, After: last})
			for _, e := range page {
				seen[e.ID]++
				last = max(last, e.Cursor)
			}
		}
		for n := range writers * batches * each {
			if times := seen[record(t, n).ID]; times != 1 {
				t.Errorf("record %d was seen %d times", n, times)
			}
		}
	}},
	{"is pruned once, by however many", func(t *testing.T, x Index) {
		var all []journal.Record
		for n := range 200 {
			all = append(all, record(t, n))
		}
		appendRecords(t, x, all...)
		totals := make([]int, 4)
		prune := func(i int) {
			for range 200 {
				pruned, err := x.PruneRecords(t.Context(), journal.Prune{Before: afterAll, Limit: 7})
				if err != nil {
					t.Errorf("PruneRecords: %v", err)
				}
				if totals[i] += pruned; pruned == 0 {
					return
				}
			}
		}
		together(len(totals), prune)
		prune(0) // records that one skipped because another had them locked
		if total := totals[0] + totals[1] + totals[2] + totals[3]; total != len(all) {
			t.Errorf("%d were pruned; want %d", total, len(all))
		}
	}},
}
