package sqliteindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"casgate/cas/journal"
	"casgate/index"
)

const (
	recordColumns = `operation, kind, actor, digest, file_id, provider, started_at, duration, bytes, outcome, error_code`
	entryColumns  = `cursor, ` + recordColumns
)

// scanEntry reads entryColumns.
func scanEntry(row scanner) (journal.Entry, error) {
	var e journal.Entry
	var digest []byte
	var start int64
	err := row.Scan(&e.Cursor, &e.ID, &e.Kind, &e.Actor, &digest, &e.FileID, &e.Provider,
		&start, &e.Duration, &e.Bytes, &e.Outcome, &e.ErrorCode)
	e.Start = time.UnixMicro(start).UTC()
	return e, errors.Join(err, scanDigest(&e.Digest, digest))
}

const sqlAppendRecord = `insert into journal (` + recordColumns + `) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// AppendRecords implements journal.Store. Texts that can't be stored are made so, see
// index.StorableRecord. There is one writer at a time, so rows appear in the order of
// their cursors.
func (x *Index) AppendRecords(ctx context.Context, records []journal.Record) error {
	if len(records) == 0 {
		return nil
	}
	err := x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		stmt, err := tx.PrepareContext(ctx, sqlAppendRecord)
		if err != nil {
			return err
		}
		defer stmt.Close()
		for _, r := range records {
			r = index.StorableRecord(r)
			_, err := stmt.ExecContext(ctx, r.ID, string(r.Kind), r.Actor, nullIfNoDigest(r.Digest), r.FileID, r.Provider,
				r.Start.UnixMicro(), int64(r.Duration), r.Bytes, string(r.Outcome), r.ErrorCode)
			if err != nil {
				return err
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
	var w where
	// Conditions that follow from others are there to name the partial index that
	// serves them.
	if q.Kind != "" {
		w.add(`kind = ?`, string(q.Kind))
		if q.Kind != journal.KindUpload && q.Kind != journal.KindDownload {
			w.add(`kind not in ('upload', 'download')`)
		}
	}
	if q.Actor != "" {
		w.add(`actor = ?`, q.Actor)
	}
	if !q.Digest.IsZero() {
		w.add(`digest = ?`, q.Digest[:])
	}
	if q.FileID != "" {
		w.add(`file_id = ? and file_id <> ''`, q.FileID)
	}
	if q.Provider != "" {
		w.add(`provider = ? and provider <> ''`, q.Provider)
	}
	if q.Outcome != "" {
		w.add(`outcome = ?`, string(q.Outcome))
		if q.Outcome != journal.OutcomeOK {
			w.add(`outcome <> 'ok'`)
		}
	}
	if !q.Since.IsZero() {
		w.add(`started_at >= ?`, q.Since.UnixMicro())
	}
	if !q.Until.IsZero() {
		w.add(`started_at < ?`, q.Until.UnixMicro())
	}
	if q.Before != 0 {
		w.add(`cursor < ?`, int64(q.Before))
	}
	if q.After != 0 {
		w.add(`cursor > ?`, int64(q.After))
	}
	return `select ` + entryColumns + ` from journal` + w.text() + `
order by cursor desc
limit ?`, append(w.args, q.Limit)
}

// Records implements journal.Store.
func (x *Index) Records(ctx context.Context, q journal.Query) ([]journal.Entry, error) {
	if q.Limit < 1 {
		return nil, fmt.Errorf("list records: a limit of %d; it must be at least 1", q.Limit)
	}
	query, args := listRecords(index.StorableQuery(q))
	entries, err := collect(ctx, x, scanEntry, query, args...)
	if err != nil {
		return nil, fault(ctx, "list records", err)
	}
	return entries, nil
}

const sqlRecord = `select ` + entryColumns + ` from journal where operation = ? order by cursor desc limit 1`

// Record implements journal.Store.
func (x *Index) Record(ctx context.Context, id string) (journal.Entry, error) {
	doing := fmt.Sprintf("look up operation %.100q", id)
	entries, err := collect(ctx, x, scanEntry, sqlRecord, index.RecordID(id))
	if err != nil {
		return journal.Entry{}, fault(ctx, doing, err)
	}
	if len(entries) == 0 {
		return journal.Entry{}, fmt.Errorf("%s: %w", doing, journal.ErrNotFound)
	}
	return entries[0], nil
}

const sqlPruneRecords = `
delete from journal where cursor in (
    select cursor from journal where started_at < ? order by started_at, cursor limit ?
)`

// PruneRecords implements journal.Store.
func (x *Index) PruneRecords(ctx context.Context, before time.Time, limit int) (pruned int, err error) {
	if limit < 1 {
		return 0, fmt.Errorf("prune records: a limit of %d; it must be at least 1", limit)
	}
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, sqlPruneRecords, before.UnixMicro(), limit)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		pruned = int(n)
		return err
	})
	if err != nil {
		return 0, fault(ctx, fmt.Sprintf("prune up to %d records", limit), err)
	}
	return pruned, nil
}
