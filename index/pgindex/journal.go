package pgindex

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas/journal"
	"casgate/index"
)

const entryColumns = `cursor, operation, kind, actor, digest, file_id, provider, started_at, duration, bytes, outcome, error_code`

// scanEntry reads entryColumns.
func scanEntry(row pgx.Row) (journal.Entry, error) {
	var e journal.Entry
	var digest []byte
	err := row.Scan(&e.Cursor, &e.ID, &e.Kind, &e.Actor, &digest, &e.FileID, &e.Provider,
		&e.Start, &e.Duration, &e.Bytes, &e.Outcome, &e.ErrorCode)
	e.Start = e.Start.UTC()
	return e, errors.Join(err, scanDigest(&e.Digest, digest))
}

// The lock is held from before the rows are numbered until they are committed. So who
// has seen a cursor has seen all that come before it, and may go on from there: no row
// that was numbered earlier appears later.
const (
	journalLock = 0x6361736a726e6c

	sqlAppendRecords = `
with locked as materialized (select pg_advisory_xact_lock($1))
insert into journal (operation, kind, actor, digest, file_id, provider, started_at, duration, bytes, outcome, error_code)
select r.operation, r.kind, r.actor, r.digest, r.file_id, r.provider, r.started_at, r.duration, r.bytes, r.outcome, r.error_code
from locked
cross join unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::text[], $8::timestamptz[],
    $9::bigint[], $10::bigint[], $11::text[], $12::text[]) with ordinality
    as r(operation, kind, actor, digest, file_id, provider, started_at, duration, bytes, outcome, error_code, n)
order by r.n`
)

// AppendRecords implements journal.Store. Texts that can't be stored are made so, see
// index.StorableRecord.
func (x *Index) AppendRecords(ctx context.Context, records []journal.Record) error {
	if len(records) == 0 {
		return nil
	}
	n := len(records)
	operations, kinds, actors := make([]string, n), make([]string, n), make([]string, n)
	digests, files, names := make([][]byte, n), make([]string, n), make([]string, n)
	starts, durations, bytes := make([]time.Time, n), make([]int64, n), make([]int64, n)
	outcomes, codes := make([]string, n), make([]string, n)
	for i, r := range records {
		r = index.StorableRecord(r)
		operations[i], kinds[i], actors[i] = r.ID, string(r.Kind), r.Actor
		digests[i], files[i], names[i] = nullIfNoDigest(r.Digest), r.FileID, r.Provider
		starts[i], durations[i], bytes[i] = r.Start.UTC(), int64(r.Duration), r.Bytes
		outcomes[i], codes[i] = string(r.Outcome), r.ErrorCode
	}
	call, cancel := bounded(ctx)
	defer cancel()
	_, err := x.pool.Exec(call, sqlAppendRecords, int64(journalLock),
		operations, kinds, actors, digests, files, names, starts, durations, bytes, outcomes, codes)
	if err != nil {
		return fault(ctx, fmt.Sprintf("append %d records to the journal", n), err)
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
		w.add(`started_at >= ?`, q.Since.UTC())
	}
	if !q.Until.IsZero() {
		w.add(`started_at < ?`, q.Until.UTC())
	}
	if q.Before != 0 {
		w.add(`cursor < ?`, int64(q.Before))
	}
	if q.After != 0 {
		w.add(`cursor > ?`, int64(q.After))
	}
	query = `select ` + entryColumns + ` from journal` + w.text() + `
order by cursor desc
limit ` + w.arg(int64(q.Limit))
	return query, w.args
}

// Records implements journal.Store.
func (x *Index) Records(ctx context.Context, q journal.Query) ([]journal.Entry, error) {
	if q.Limit < 1 {
		return nil, fmt.Errorf("list records: a limit of %d; it must be at least 1", q.Limit)
	}
	query, args := listRecords(index.StorableQuery(q))
	call, cancel := bounded(ctx)
	defer cancel()
	// An error of Query comes out of CollectRows.
	rows, _ := x.pool.Query(call, query, args...)
	entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (journal.Entry, error) { return scanEntry(row) })
	if err != nil {
		return nil, fault(ctx, "list records", err)
	}
	return entries, nil
}

const sqlRecord = `select ` + entryColumns + ` from journal where operation = $1 order by cursor desc limit 1`

// Record implements journal.Store.
func (x *Index) Record(ctx context.Context, id string) (journal.Entry, error) {
	doing := fmt.Sprintf("look up operation %.100q", id)
	call, cancel := bounded(ctx)
	defer cancel()
	e, err := scanEntry(x.pool.QueryRow(call, sqlRecord, index.RecordID(id)))
	if errors.Is(err, pgx.ErrNoRows) {
		return journal.Entry{}, fmt.Errorf("%s: %w", doing, journal.ErrNotFound)
	}
	if err != nil {
		return journal.Entry{}, fault(ctx, doing, err)
	}
	return e, nil
}

// Gateways that prune at the same time take different records.
const sqlPruneRecords = `
delete from journal where cursor in (
    select cursor from journal
    where started_at < $1
    order by started_at, cursor
    limit $2
    for update skip locked
)`

// PruneRecords implements journal.Store.
func (x *Index) PruneRecords(ctx context.Context, before time.Time, limit int) (int, error) {
	if limit < 1 {
		return 0, fmt.Errorf("prune records: a limit of %d; it must be at least 1", limit)
	}
	call, cancel := bounded(ctx)
	defer cancel()
	tag, err := x.pool.Exec(call, sqlPruneRecords, before.UTC(), int64(limit))
	if err != nil {
		return 0, fault(ctx, fmt.Sprintf("prune up to %d records", limit), err)
	}
	return int(tag.RowsAffected()), nil
}
