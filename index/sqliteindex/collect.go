package sqliteindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"casgate/cas"
	"casgate/cas/collector"
)

var _ collector.Index = (*Index)(nil)

// countTimeout limits a count over many rows.
const countTimeout = 2 * time.Minute

// dueBlob is the condition that a collection removes the blob: it was condemned at the
// time ?1 or earlier, or an earlier collection has not finished with it.
const dueBlob = `state in ('condemned', 'deleting') and (state = 'deleting' or condemned_at <= ?1)`

const (
	sqlDue        = `select count(*), coalesce(sum(size), 0) from blobs where ` + dueBlob
	sqlLargestDue = `select digest, generation, size from blobs where ` + dueBlob + ` order by size desc, digest limit ?2`
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
	before := now() - q.Grace.Microseconds()
	if err = x.reader.QueryRowContext(ctx, sqlDue, before).Scan(&due.Blobs, &due.Bytes); err != nil {
		return due, err
	}
	if q.Visible {
		if err = x.reader.QueryRowContext(ctx, sqlVisible).Scan(&due.Visible); err != nil {
			return due, err
		}
	}
	if q.Largest > 0 {
		due.Largest, err = rowsOf(ctx, x.reader, func(row scanner) (o collector.Object, err error) {
			err = row.Scan(&o.Digest, &o.Generation, &o.Size)
			return o, err
		}, sqlLargestDue, before, q.Largest)
	}
	return due, err
}

const sqlStartDeleting = `
update blobs set state = 'deleting', deleting_at = ?1
where digest in (
    select digest
    from blobs
    where state in ('condemned', 'deleting')
      and ((state = 'condemned' and condemned_at <= ?2) or (state = 'deleting' and deleting_at <= ?3))
    order by condemned_at
    limit ?4
)
returning digest, generation, size,
    exists (select 1 from copies c where c.digest = blobs.digest and c.state <> 'deleted'),
    exists (select 1 from extracted_texts t where t.digest = blobs.digest)`

// StartDeleting implements collector.Index.
func (x *Index) StartDeleting(ctx context.Context, b collector.Batch) (objects []collector.Object, err error) {
	scan := func(row scanner) (o collector.Object, err error) {
		err = row.Scan(&o.Digest, &o.Generation, &o.Size, &o.HasCopies, &o.HasTexts)
		return o, err
	}
	err = x.free(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at := now()
		objects, err = rowsOf(ctx, tx, scan, sqlStartDeleting, at, at-b.Grace.Microseconds(), at-b.Retry.Microseconds(), b.Limit)
		return err
	})
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("start deleting up to %d blobs", b.Limit), err)
	}
	return objects, nil
}

const (
	sqlFinishDeleting = `
update blobs set state = 'gone', condemned_at = null, deleting_at = null
where digest = ? and generation = ? and state = 'deleting'`

	sqlUnlinkTexts = `delete from extracted_texts where digest = ?`
)

// FinishDeleting implements collector.Index.
func (x *Index) FinishDeleting(ctx context.Context, refs ...cas.ObjectRef) error {
	err := x.free(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, ref := range refs {
			result, err := tx.ExecContext(ctx, sqlFinishDeleting, ref.Digest[:], ref.Generation)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil || n == 0 {
				if err != nil {
					return err
				}
				continue
			}
			if _, err := tx.ExecContext(ctx, sqlUnlinkTexts, ref.Digest[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fault(ctx, fmt.Sprintf("finish deleting %d blobs", len(refs)), err)
	}
	x.reserve.fill() // there may be room again
	return nil
}

// SaveRun implements collector.Index.
func (x *Index) SaveRun(ctx context.Context, run collector.Run, lease time.Duration) (held bool, err error) {
	return x.saveLeased(ctx, collectorRuns, run.ID, run, lease)
}

// LastRun implements collector.Index.
func (x *Index) LastRun(ctx context.Context) (run collector.Run, running bool, err error) {
	running, err = x.lastLeased(ctx, collectorRuns, &run)
	if errors.Is(err, sql.ErrNoRows) {
		return collector.Run{}, false, nil
	}
	return run, running, err
}
