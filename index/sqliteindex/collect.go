package sqliteindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"casgate/cas"
)

// deletingRetry is how long a row may be in deleting before its collector counts as
// dead, and the row is given out again. Deleting twice does no harm.
const deletingRetry = 10 * time.Minute

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
returning digest, generation`

// StartDeleting gives the collector at most limit objects to remove: the objects of
// blobs condemned for olderThan or longer, and objects that a collector got long ago
// and never finished. An upload can't rescue these blobs any more; it takes the next
// generation. The caller calls FinishDeleting for each object it removed. After an
// error it can simply call StartDeleting again.
func (x *Index) StartDeleting(ctx context.Context, olderThan time.Duration, limit int) ([]cas.ObjectRef, error) {
	var refs []cas.ObjectRef
	err := x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at := now()
		rows, err := tx.QueryContext(ctx, sqlStartDeleting, at, at-olderThan.Microseconds(), at-deletingRetry.Microseconds(), limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var ref cas.ObjectRef
			if err := rows.Scan(&ref.Digest, &ref.Generation); err != nil {
				return err
			}
			refs = append(refs, ref)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("start deleting up to %d blobs", limit), err)
	}
	return refs, nil
}

const sqlFinishDeleting = `
update blobs set state = 'gone', condemned_at = null, deleting_at = null
where digest = ? and generation = ? and state = 'deleting'`

// FinishDeleting records that the object is removed. The row stays as a tombstone, so
// that the next upload writes a new object. A row that isn't deleting at exactly this
// generation stays as it is, without an error.
func (x *Index) FinishDeleting(ctx context.Context, ref cas.ObjectRef) error {
	err := x.exec(ctx, sqlFinishDeleting, ref.Digest[:], ref.Generation)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return blobFault(ctx, "finish deleting", ref.Digest, err)
	}
	return nil
}
