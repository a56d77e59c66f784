package sqliteindex

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"casgate/cas/journal"
	"casgate/index/sqlrow"
)

// newRecord has the columns of a new record. The database sets the cursor.
var newRecord = journalTable.Without("cursor")

// sqlAppendRecords are the statements that append 4^i records. A record takes half of the
// processor time in a statement of many: SQLite looks for the next cursor once for each
// statement, and keeps once what each page was before it.
var sqlAppendRecords = [...]string{appendRecords(1), appendRecords(4), appendRecords(16), appendRecords(64), appendRecords(256)}

// appendRecords returns the statement that appends n records. Its placeholders have no
// numbers, which the driver would read for each argument.
func appendRecords(n int) string {
	row := `(?` + strings.Repeat(`, ?`, newRecord.Len()-1) + `)`
	return `insert into journal (` + newRecord.Names() + `) values ` + row + strings.Repeat(`, `+row, n-1)
}

// AppendRecords implements journal.Store. Texts that can't be stored are changed, see
// journal.Record.Storable. There is one writer at a time, so rows become visible in the
// order of their cursors.
func (x *Index) AppendRecords(ctx context.Context, records []journal.Record) error {
	if len(records) == 0 {
		return nil
	}
	err := x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// For a context that can end, the driver starts a goroutine for each statement.
		each := context.WithoutCancel(ctx)
		args := make([]any, 0, len(records)*newRecord.Len())
		left := records
		for i := len(sqlAppendRecords) - 1; i >= 0; i-- {
			for n := 1 << (2 * i); len(left) >= n; left = left[n:] {
				if err := ctx.Err(); err != nil {
					return err
				}
				args = args[:0]
				for _, r := range left[:n] {
					args = newRecord.AppendArgs(args, journal.Entry{Record: r.Storable()})
				}
				if _, err := tx.ExecContext(each, sqlAppendRecords[i], args...); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fault(ctx, fmt.Sprintf("append %d records to the journal", len(records)), err)
	}
	return nil
}

// listRecords returns the query for a page of records.
func listRecords(q journal.Query) (query string, args []any) {
	page := sqlrow.Page{Columns: []string{"cursor"}, Order: sqlrow.Descending, Limit: q.Limit}
	return page.Query(`select `+journalTable.Select()+` from journal`, sqlrow.JournalFilters(sqlrow.SQLite, q))
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

var sqlRecord = `select ` + journalTable.Select() + ` from journal where operation = ?1 and substr(operation, 1, 13) = substr(?1, 1, 13) order by cursor desc limit 1`

// Record implements journal.Store.
func (x *Index) Record(ctx context.Context, id string) (journal.Entry, error) {
	doing := fmt.Sprintf("look up operation %.100q", id)
	entries, err := list(ctx, x, journalTable, sqlRecord, journal.StorableID(id))
	if err != nil {
		return journal.Entry{}, fault(ctx, doing, err)
	}
	if len(entries) == 0 {
		return journal.Entry{}, fmt.Errorf("%s: %w", doing, journal.ErrNotFound)
	}
	return entries[0], nil
}

const (
	sqlPruneOldRecords = `
delete from journal where cursor in (
    select cursor from journal where started_at < ? order by started_at, cursor limit ?
)`
	sqlPruneManyRecords = `
delete from journal where cursor in (
    select cursor from journal where cursor <= (select max(cursor) from journal) - ? order by cursor limit ?
)`
)

// PruneRecords implements journal.Store.
func (x *Index) PruneRecords(ctx context.Context, p journal.Prune) (pruned int, err error) {
	if p.Limit < 1 {
		return 0, fmt.Errorf("prune records: a limit of %d; it must be at least 1", p.Limit)
	}
	remove := func(ctx context.Context, tx *sql.Tx, query string, bound int64) error {
		result, err := tx.ExecContext(ctx, query, bound, p.Limit-pruned)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		pruned += int(n)
		return err
	}
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		pruned = 0
		if !p.Before.IsZero() {
			if err := remove(ctx, tx, sqlPruneOldRecords, p.Before.UnixMicro()); err != nil {
				return err
			}
		}
		if p.Keep == 0 {
			return nil
		}
		return remove(ctx, tx, sqlPruneManyRecords, p.Keep)
	})
	if err != nil {
		return 0, fault(ctx, fmt.Sprintf("prune up to %d records", p.Limit), err)
	}
	return pruned, nil
}
