package pgindex

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
)

// deletingRetry is how long a row may stay in deleting before its collector is
// taken for dead and another is given the row. Deleting twice does no harm.
const deletingRetry = 10 * time.Minute

// Rows that another collector, or an upload, has locked are left for the next
// time; nobody waits. A row locked here is checked again as it is then, since
// "for update" re-reads it.
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
returning b.digest, b.generation`

// StartDeleting hands the collector at most limit objects to remove: those of
// blobs that have been condemned for olderThan or longer, and those that a
// collector was given long ago and never finished. No upload can rescue these
// blobs any more; it takes the next generation. For each object removed the
// caller calls FinishDeleting; after an error it may just come again.
func (x *Index) StartDeleting(ctx context.Context, olderThan time.Duration, limit int) ([]cas.ObjectRef, error) {
	call, cancel := bounded(ctx)
	defer cancel()
	// An error of Query comes out of CollectRows.
	rows, _ := x.pool.Query(call, sqlStartDeleting, olderThan, deletingRetry, int64(limit))
	refs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ref cas.ObjectRef, err error) {
		err = row.Scan(&ref.Digest, &ref.Generation)
		return ref, err
	})
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("start deleting up to %d blobs", limit), err)
	}
	return refs, nil
}

const sqlFinishDeleting = `
update blobs set state = 'gone', condemned_at = null, deleting_at = null
where digest = $1 and generation = $2 and state = 'deleting'`

// FinishDeleting records that the object is removed. The row stays as a
// tombstone, so that the next upload writes another object. A row that isn't
// deleting at exactly this generation is left alone, without an error.
func (x *Index) FinishDeleting(ctx context.Context, ref cas.ObjectRef) error {
	call, cancel := bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlFinishDeleting, ref.Digest[:], ref.Generation); err != nil {
		return blobFault(ctx, "finish deleting", ref.Digest, err)
	}
	return nil
}
