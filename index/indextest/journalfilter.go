package indextest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"casgate/cas/journal"
)

// filterRecords compares each combination of filters with a look at all records.
func filterRecords(t *testing.T, x Index) {
	a := digest(t, 1000)
	var all []journal.Record
	for n := range 128 {
		r := journal.Record{
			ID: "op", Kind: journal.KindDownload, Actor: "public", Digest: digest(t, 1), Outcome: journal.OutcomeOK,
			Start: time.Unix(int64(n), 0).UTC(),
		}
		if n&1 != 0 {
			r.Kind = journal.KindSync
		}
		if n&2 != 0 {
			r.Actor = "token:a"
		}
		if n&4 != 0 {
			r.Digest = a
		}
		if n&8 != 0 {
			r.FileID = "file-1"
		}
		if n&16 != 0 {
			r.Provider = provider
		}
		if n&32 != 0 {
			r.Outcome = journal.OutcomeFailed
		}
		all = append(all, r)
	}
	appendRecords(t, x, all...)
	filters := []struct {
		set  func(q *journal.Query)
		pass func(r journal.Record) bool
	}{
		{func(q *journal.Query) { q.Kind = journal.KindSync }, func(r journal.Record) bool { return r.Kind == journal.KindSync }},
		{func(q *journal.Query) { q.Actor = "token:a" }, func(r journal.Record) bool { return r.Actor == "token:a" }},
		{func(q *journal.Query) { q.Digest = a }, func(r journal.Record) bool { return r.Digest == a }},
		{func(q *journal.Query) { q.FileID = "file-1" }, func(r journal.Record) bool { return r.FileID == "file-1" }},
		{func(q *journal.Query) { q.Provider = provider }, func(r journal.Record) bool { return r.Provider == provider }},
		{
			func(q *journal.Query) { q.Outcome = journal.OutcomeFailed },
			func(r journal.Record) bool { return r.Outcome == journal.OutcomeFailed },
		},
		{func(q *journal.Query) { q.Since = time.Unix(64, 0) }, func(r journal.Record) bool { return r.Start.Unix() >= 64 }},
	}
	for chosen := range 1 << len(filters) {
		want := all
		q := journal.Query{Limit: 5}
		for i, filter := range filters {
			if chosen&(1<<i) != 0 {
				filter.set(&q)
				want = slices.DeleteFunc(slices.Clone(want), func(r journal.Record) bool { return !filter.pass(r) })
			}
		}
		same(t, fmt.Sprintf("the records with filters %07b", chosen), recordPages(t, x, q), want)
	}
	for _, q := range []journal.Query{
		{Kind: journal.KindUpload}, {Kind: journal.KindScrub}, {Actor: "token:"}, {Actor: "PUBLIC"}, {FileID: "file-2"},
		{Provider: "glm"}, {Outcome: journal.OutcomeBroken}, {Digest: digest(t, 9)},
	} {
		q.Limit = 10
		if got := listRecords(t, x, q); len(got) != 0 {
			t.Errorf("%+v: %d records; want none", q, len(got))
		}
	}
}
