package pgindex

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
)

// deletingRetry is how long a row may be in deleting before its collector counts as
// dead, and another collector gets the row. Deleting twice does no harm.
const deletingRetry = 10 * time.Minute

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
returning b.digest, b.generation`

// StartDeleting gives the collector at most limit objects to remove: the objects of
// blobs condemned for olderThan or longer, and objects that a collector got long ago
// and never finished. An upload can't rescue these blobs any more; it takes the next
// generation. The caller calls FinishDeleting for each object it removed. After an
// error it can simply call StartDeleting again.
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

// FinishDeleting records that the object is removed. The row stays as a tombstone, so
// that the next upload writes a new object. A row that isn't deleting at exactly this
// generation stays as it is, without an error.
func (x *Index) FinishDeleting(ctx context.Context, ref cas.ObjectRef) error {
	call, cancel := bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlFinishDeleting, ref.Digest[:], ref.Generation); err != nil {
		return blobFault(ctx, "finish deleting", ref.Digest, err)
	}
	return nil
}
