package pgindex

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"casgate/cas/journal"
	"casgate/index/sqlrow"
)

// newRecord has the columns of a new record. The database sets the cursor.
var newRecord = journalTable.Without("cursor")

// The lock is held from before the rows get their numbers until they are committed. So
// a reader that has seen a cursor has seen all rows before it, and can continue from
// there: no row with a smaller number appears later.
const journalLock = 0x6361736a726e6c

var sqlAppendRecords = `
with locked as materialized (select pg_advisory_xact_lock($1))
insert into journal (` + newRecord.Names() + `)
select ` + newRecord.NamesOf("r") + `
from locked
cross join unnest(` + newRecord.ArrayPlaceholders(2) + `) with ordinality
    as r(` + newRecord.Names() + `, n)
order by r.n`

// AppendRecords implements journal.Store. Texts that can't be stored are changed, see
// journal.Record.Storable.
func (x *Index) AppendRecords(ctx context.Context, records []journal.Record) error {
	if len(records) == 0 {
		return nil
	}
	rows := make([]journal.Entry, len(records))
	for i, r := range records {
		rows[i] = journal.Entry{Record: r.Storable()}
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	_, err := x.pool.Exec(call, sqlAppendRecords, newRecord.Slices(rows, int64(journalLock))...)
	if err != nil {
		return fault(ctx, fmt.Sprintf("append %d records to the journal", len(records)), err)
	}
	return nil
}

// listRecords returns the query for a page of records.
func listRecords(q journal.Query) (query string, args []any) {
	page := sqlrow.Page{Columns: []string{"cursor"}, Order: sqlrow.Descending, Limit: q.Limit}
	return page.Query(`select `+journalTable.Select()+` from journal`, sqlrow.JournalFilters(sqlrow.Postgres, q))
}

// Records implements journal.Store.
func (x *Index) Records(ctx context.Context, q journal.Query) ([]journal.Entry, error) {
	if q.Limit < 1 {
		return nil, fmt.Errorf("list records: a limit of %d; it must be at least 1", q.Limit)
	}
	query, args := listRecords(q.Storable())
	entries, err := search(ctx, x, journalTable, query, args...)
	if err != nil {
		return nil, fault(ctx, "list records", err)
	}
	return entries, nil
}

// sqlRecord first finds the rows, by their hash: read backward, the whole journal could be
// looked at.
var sqlRecord = `
with found as materialized (select ` + journalTable.Select() + ` from journal where operation = $1)
select ` + journalTable.Select() + ` from found order by cursor desc limit 1`

// Record implements journal.Store.
func (x *Index) Record(ctx context.Context, id string) (journal.Entry, error) {
	doing := fmt.Sprintf("look up operation %.100q", id)
	call, cancel := x.bounded(ctx)
	defer cancel()
	e, err := journalTable.Scan(x.pool.QueryRow(call, sqlRecord, journal.StorableID(id)))
	if errors.Is(err, pgx.ErrNoRows) {
		return journal.Entry{}, fmt.Errorf("%s: %w", doing, journal.ErrNotFound)
	}
	if err != nil {
		return journal.Entry{}, fault(ctx, doing, err)
	}
	return e, nil
}
