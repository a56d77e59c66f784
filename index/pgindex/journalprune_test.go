package pgindex_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"casgate/cas/castest"
	"casgate/cas/journal"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
)

// partitions lists the partitions of the journal.
func (x testIndex) partitions(t *testing.T) []string {
	t.Helper()
	rows, err := x.db.Query(t.Context(), `select inhrelid::regclass::text from pg_inherits where inhparent = 'journal'::regclass order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// records lists the ids of all records, oldest first.
func (x testIndex) records(t *testing.T) (ids []string) {
	t.Helper()
	page, err := x.Records(t.Context(), journal.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page {
		ids = append(ids, e.ID)
	}
	slices.Reverse(ids)
	return ids
}

// The journal has a partition for each day, made before its first record. Old days go as a
// whole; those of the first partition, and of the rest, go one by one.
func TestJournalDays(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t, pgtest.New(t))
	past := x.partitions(t)[1]
	first, err := time.Parse("journal_to_20060102", past) // two days after the migration
	if err != nil {
		t.Fatal(err)
	}
	day := func(n int) time.Time { return first.AddDate(0, 0, n-2) }
	name := func(n int) string { return "journal_" + day(n).Format("20060102") }
	add := func(id string, at time.Time) {
		t.Helper()
		if err := x.AppendRecords(t.Context(), []journal.Record{{ID: id, Start: at}}); err != nil {
			t.Fatal(err)
		}
	}
	prune := func(p journal.Prune, on time.Time) {
		t.Helper()
		p.Limit = 100
		if _, err := x.PruneRecordsOn(t.Context(), p, on); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, partitions, records []string) {
		t.Helper()
		if diff := cmp.Diff(partitions, x.partitions(t)); diff != "" {
			t.Errorf("%s: partitions (-want +got):\n%s", when, diff)
		}
		if diff := cmp.Diff(records, x.records(t)); diff != "" {
			t.Errorf("%s: records (-want +got):\n%s", when, diff)
		}
	}

	add("long ago", day(-100))
	add("today", day(0))
	add("a day without a partition", day(5).Add(time.Hour))
	prune(journal.Prune{}, day(0))
	check("on the first day", []string{name(2), "journal_rest", past}, []string{"long ago", "today", "a day without a partition"})

	add("on the second day", day(2).Add(23*time.Hour))
	prune(journal.Prune{Before: day(-50)}, day(3))
	add("on the third day", day(3).Add(time.Hour))
	check("on the third day", []string{name(2), name(3), name(4), name(5), "journal_rest", past},
		[]string{"today", "a day without a partition", "on the second day", "on the third day"})
	var inRest int
	if err := x.db.QueryRow(t.Context(), "select count(*) from journal_rest").Scan(&inRest); err != nil || inRest != 0 {
		t.Errorf("the rest has %d records, error %v; the one of the fifth day must move", inRest, err)
	}

	// A day that is not over yet keeps its records.
	prune(journal.Prune{Before: day(3).Add(12 * time.Hour)}, day(6))
	check("after some days", []string{name(3), name(4), name(5), name(6), name(7), name(8), "journal_rest"},
		[]string{"a day without a partition", "on the third day"})

	// By their number, too: whole days first.
	add("on the sixth day", day(6))
	prune(journal.Prune{Keep: 1}, day(6))
	check("by the number", []string{name(6), name(7), name(8), "journal_rest"}, []string{"on the sixth day"})
}

// Gateways prune at the same time, while others append and read.
func TestJournalDaysTogether(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	x := newTestIndex(t, url)
	others := []*pgindex.Index{x.Index, open(t, pgindex.Options{URL: url}), open(t, pgindex.Options{URL: url})}
	const days, each = 6, 10
	var group sync.WaitGroup
	run := func(f func(ctx context.Context) error) {
		group.Go(func() {
			if err := f(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	for _, other := range others {
		run(func(ctx context.Context) error {
			for n := range days {
				now := time.Now().AddDate(0, 0, n)
				if _, err := other.PruneRecordsOn(ctx, journal.Prune{Before: now.AddDate(0, 0, -30), Limit: 10}, now); err != nil {
					return err
				}
			}
			return nil
		})
		run(func(ctx context.Context) error {
			for n := range days * each {
				at := time.Now().AddDate(0, 0, n/each)
				if err := other.AppendRecords(ctx, []journal.Record{{ID: "a", Start: at}}); err != nil {
					return err
				}
				if _, err := other.Records(ctx, journal.Query{Limit: 10}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Wait()
	if got, want := len(x.records(t)), len(others)*days*each; got != want {
		t.Errorf("%d records; want %d", got, want)
	}
}

// A record that is added to the rest while its day gets a partition moves there too.
func TestJournalDayBesideAnAppender(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t, pgtest.New(t))
	day := time.Now().AddDate(0, 0, 10)
	if err := x.AppendRecords(t.Context(), []journal.Record{{ID: "before", Start: day}}); err != nil {
		t.Fatal(err)
	}
	appender, err := x.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer appender.Rollback(context.Background())
	_, err = appender.Exec(t.Context(), `insert into journal select * from jsonb_populate_record(
		(select j from journal j), '{"id": "meanwhile", "cursor": 1000}')`)
	if err != nil {
		t.Fatal(err)
	}

	pruned := make(chan error, 1)
	go func() {
		_, err := x.PruneRecordsOn(t.Context(), journal.Prune{Limit: 10}, day)
		pruned <- err
	}()
	castest.Eventually(t, "the prune waits for the appender, or ends", func() bool {
		var waits bool
		if err := x.db.QueryRow(t.Context(), `select exists (select from pg_stat_activity
				where datname = current_database() and wait_event_type = 'Lock')`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
		return waits || len(pruned) > 0
	})
	if err := appender.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-pruned; err != nil {
		t.Fatal(err)
	}
	// The prune gives up quietly if it waited for too long. The next one makes the partition.
	if _, err := x.PruneRecordsOn(t.Context(), journal.Prune{Limit: 10}, day); err != nil {
		t.Fatal(err)
	}
	var moved int
	if err := x.db.QueryRow(t.Context(), "select count(*) from journal_"+day.UTC().Format("20060102")).Scan(&moved); err != nil || moved != 2 {
		t.Errorf("the partition has %d records, error %v; want 2", moved, err)
	}
}

// A role that may not create tables still appends and prunes, and the error says why there
// is no partition.
func TestJournalWithoutTheRightToCreate(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	admin := newTestIndex(t, url)
	role := fmt.Sprintf("casgate_test_%d", rand.Uint64())
	run := func(statements ...string) {
		t.Helper()
		for _, statement := range statements {
			if _, err := admin.db.Exec(context.Background(), fmt.Sprintf(statement, role)); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
	run(`create role %s`)
	t.Cleanup(func() { run(`drop owned by %s`, `drop role %s`) })
	run(`grant select, insert, update, delete on all tables in schema public to %s`, `grant usage on all sequences in schema public to %s`)

	x := open(t, pgindex.Options{URL: url + "&options=-c%20role%3D" + role})
	at := time.Now().AddDate(0, 0, 10)
	for n, id := range []string{"old", "new"} {
		if err := x.AppendRecords(t.Context(), []journal.Record{{ID: id, Start: at.Add(time.Duration(n) * time.Hour)}}); err != nil {
			t.Fatal(err)
		}
	}
	pruned, err := x.PruneRecordsOn(t.Context(), journal.Prune{Before: at.Add(time.Minute), Limit: 10}, at)
	isRefused := err != nil && (strings.Contains(err.Error(), "permission denied") || strings.Contains(err.Error(), "must be owner")) // the latter before Postgres 15
	if pruned != 1 || !isRefused {
		t.Errorf("%d pruned, error %v", pruned, err)
	}
	if diff := cmp.Diff([]string{"new"}, admin.records(t)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}
