package pgindex

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/cas/collector"
)

var _ collector.Index = (*Index)(nil)

// countTimeout limits a count over many rows.
const countTimeout = 2 * time.Minute

// dueBlob is the condition that a collection removes the blob: it was condemned $1 ago
// or earlier, or an earlier collection has not finished with it.
const dueBlob = `state in ('condemned', 'deleting') and (state = 'deleting' or condemned_at <= now() - $1::interval)`

const (
	sqlDue        = `select count(*), coalesce(sum(size), 0)::bigint from blobs where ` + dueBlob
	sqlLargestDue = `select digest, generation, size from blobs where ` + dueBlob + ` order by size desc, digest limit $2`
	sqlVisible    = `select count(*) from blobs where state in ('live', 'suspect')`
)

// Due implements collector.Index.
func (x *Index) Due(ctx context.Context, q collector.DueQuery) (collector.Due, error) {
	call, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	due, err := x.due(call, q)
	if err != nil {
		return collector.Due{}, fault(ctx, "count the blobs to collect", err)
	}
	return due, nil
}

// due is Due with raw errors.
func (x *Index) due(ctx context.Context, q collector.DueQuery) (due collector.Due, err error) {
	if err = x.pool.QueryRow(ctx, sqlDue, q.Grace).Scan(&due.Blobs, &due.Bytes); err != nil {
		return due, err
	}
	if q.Visible {
		if err = x.pool.QueryRow(ctx, sqlVisible).Scan(&due.Visible); err != nil {
			return due, err
		}
	}
	if q.Largest > 0 {
		rows, _ := x.pool.Query(ctx, sqlLargestDue, q.Grace, int64(q.Largest)) // its error comes out of CollectRows
		due.Largest, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (o collector.Object, err error) {
			err = row.Scan(&o.Digest, &o.Generation, &o.Size)
			return o, err
		})
	}
	return due, err
}

// Rows that another collector or an upload has locked are skipped until the next call,
// so the statement never waits. A row locked here is checked again in its current
// version, since "for update" reads it again.
const sqlStartDeleting = `
with due as materialized (
    select digest
    from blobs
    where state in ('condemned', 'deleting')
      and ((state = 'condemned' and condemned_at <= now() - $1::interval)
        or (state = 'deleting' and deleting_at <= now() - $2::interval))
    order by condemned_at
    limit $3
    for update skip locked
)
update blobs b set state = 'deleting', deleting_at = now()
from due
where b.digest = due.digest and b.state in ('condemned', 'deleting')
returning b.digest, b.generation, b.size,
    exists (select from copies c where c.digest = b.digest and c.state <> 'deleted'),
    exists (select from extracted_texts t where t.digest = b.digest)`

// StartDeleting implements collector.Index.
func (x *Index) StartDeleting(ctx context.Context, b collector.Batch) ([]collector.Object, error) {
	call, cancel := x.bounded(ctx)
	defer cancel()
	// An error of Query comes out of CollectRows.
	rows, _ := x.pool.Query(call, sqlStartDeleting, b.Grace, b.Retry, int64(b.Limit))
	objects, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o collector.Object, err error) {
		err = row.Scan(&o.Digest, &o.Generation, &o.Size, &o.HasCopies, &o.HasTexts)
		return o, err
	})
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("start deleting up to %d blobs", b.Limit), err)
	}
	return objects, nil
}

// The rows are locked in one order, so that two batches don't deadlock.
const sqlFinishDeleting = `
with done as materialized (
    select b.digest
    from blobs b
    join unnest($1::bytea[], $2::integer[]) as r(digest, generation) on b.digest = r.digest and b.generation = r.generation
    where b.state = 'deleting'
    order by b.digest
    for update of b
), unlinked as (
    delete from extracted_texts t using done where t.digest = done.digest
)
update blobs b set state = 'gone', condemned_at = null, deleting_at = null
from done
where b.digest = done.digest`

// FinishDeleting implements collector.Index.
func (x *Index) FinishDeleting(ctx context.Context, refs ...cas.ObjectRef) error {
	digests, generations := make([][]byte, len(refs)), make([]int32, len(refs))
	for i, ref := range refs {
		digests[i], generations[i] = ref.Digest[:], ref.Generation
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlFinishDeleting, digests, generations); err != nil {
		return fault(ctx, fmt.Sprintf("finish deleting %d blobs", len(refs)), err)
	}
	return nil
}

// SaveRun implements collector.Index.
func (x *Index) SaveRun(ctx context.Context, run collector.Run, lease time.Duration) (held bool, err error) {
	return x.saveLeased(ctx, collectorRuns, run.ID, run, lease)
}

// LastRun implements collector.Index.
func (x *Index) LastRun(ctx context.Context) (run collector.Run, running bool, err error) {
	running, err = x.lastLeased(ctx, collectorRuns, &run)
	if errors.Is(err, pgx.ErrNoRows) {
		return collector.Run{}, false, nil
	}
	return run, running, err
}
