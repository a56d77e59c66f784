package sqliteindex

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"casgate/cas"
	"casgate/cas/collector"
)

var _ collector.OrphanIndex = (*Index)(nil)

const sqlCondemnOrphan = `
insert into blobs (digest, size, media_type, name, generation, state, created_at, touched_at, condemned_at)
values (?1, ?2, '` + cas.DefaultMediaType + `', '', ?3, 'condemned', ?4, ?4, ?4)
on conflict (digest) do update set
    size = excluded.size, media_type = excluded.media_type, name = '', generation = excluded.generation,
    state = 'condemned', condemned_at = excluded.condemned_at, verified_at = null`

// CondemnOrphans implements collector.OrphanIndex.
func (x *Index) CondemnOrphans(ctx context.Context, objects []cas.ObjectInfo) (collector.Orphans, error) {
	return x.orphans(ctx, objects, nil)
}

// errUndo makes a transaction undo its changes.
var errUndo = errors.New("undo the changes")

// FindOrphans implements collector.OrphanIndex. It makes the changes of CondemnOrphans, and
// undoes them.
func (x *Index) FindOrphans(ctx context.Context, objects []cas.ObjectInfo) (collector.Orphans, error) {
	return x.orphans(ctx, objects, errUndo)
}

// orphans condemns orphans, and ends its transaction with an error or nil.
func (x *Index) orphans(ctx context.Context, objects []cas.ObjectInfo, end error) (found collector.Orphans, err error) {
	highestFirst := slices.SortedFunc(slices.Values(objects), func(a, b cas.ObjectInfo) int { return cmp.Compare(b.Generation, a.Generation) })
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at := now()
		for _, o := range highestFirst {
			row, err := blobTable.Scan(tx.QueryRowContext(ctx, sqlSeen, o.Digest[:]), new(int64))
			isNew := errors.Is(err, sql.ErrNoRows)
			switch {
			case err != nil && !isNew:
				return err
			case isNew || row.State == cas.StateGone && row.Generation < o.Generation:
				if _, err := tx.ExecContext(ctx, sqlCondemnOrphan, o.Digest[:], o.Size, o.Generation, at); err != nil {
					return err
				}
				found.Condemned = append(found.Condemned, o.ObjectRef)
			case o.Generation < row.Generation || o.Generation == row.Generation && row.State == cas.StateGone:
				found.Stale = append(found.Stale, o.ObjectRef)
			}
		}
		return end
	})
	if err != nil && !errors.Is(err, errUndo) {
		return collector.Orphans{}, fault(ctx, fmt.Sprintf("look for orphans among %d objects", len(objects)), err)
	}
	return found, nil
}
