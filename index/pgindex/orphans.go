package pgindex

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/cas/collector"
)

var _ collector.OrphanIndex = (*Index)(nil)

// The objects of rows that exist are compared with the rows of the statement's snapshot.
// A generation that was dead then stays dead.
var sqlCondemnOrphans = `
with o as materialized (
    select * from unnest($1::bytea[], $2::integer[], $3::bigint[]) as o(digest, generation, size)
), condemned as (
    insert into blobs as b (digest, size, media_type, name, generation, state, condemned_at, commit_id)
    select distinct on (o.digest) o.digest, o.size, '` + cas.DefaultMediaType + `', '', o.generation, 'condemned', now(), 0
    from o
    order by o.digest, o.generation desc
    on conflict (digest) do update set
        size = excluded.size, media_type = excluded.media_type, name = '', generation = excluded.generation,
        state = 'condemned', condemned_at = now(), verified_at = null, commit_id = 0
    where b.state = 'gone' and b.generation < excluded.generation
    returning b.digest, b.generation
)
select o.digest, o.generation, coalesce(c.generation = o.generation, false)
from o
left join condemned c on c.digest = o.digest
left join blobs b on b.digest = o.digest
where o.generation <= c.generation or o.generation < b.generation or (o.generation = b.generation and b.state = 'gone')
order by o.digest`

// CondemnOrphans implements collector.OrphanIndex.
func (x *Index) CondemnOrphans(ctx context.Context, objects []cas.ObjectInfo) (collector.Orphans, error) {
	return x.orphans(ctx, x.pool, objects)
}

// FindOrphans implements collector.OrphanIndex. It makes the changes of CondemnOrphans, and
// undoes them.
func (x *Index) FindOrphans(ctx context.Context, objects []cas.ObjectInfo) (found collector.Orphans, err error) {
	call, cancel := x.bounded(ctx)
	defer cancel()
	tx, err := x.pool.Begin(call)
	if err != nil {
		return collector.Orphans{}, fault(ctx, "look for orphans", err)
	}
	found, err = x.orphans(ctx, tx, objects)
	if undo := tx.Rollback(call); err == nil && undo != nil {
		err = fault(ctx, "look for orphans", undo)
	}
	return found, err
}

// orphans condemns orphans.
func (x *Index) orphans(ctx context.Context, db interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}, objects []cas.ObjectInfo) (found collector.Orphans, err error) {
	digests, generations, sizes := make([][]byte, len(objects)), make([]int32, len(objects)), make([]int64, len(objects))
	for i, o := range objects {
		digests[i], generations[i], sizes[i] = o.Digest[:], o.Generation, o.Size
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	rows, err := db.Query(call, sqlCondemnOrphans, digests, generations, sizes)
	if err == nil {
		defer rows.Close()
		for rows.Next() && err == nil {
			var ref cas.ObjectRef
			var condemned bool
			if err = rows.Scan(&ref.Digest, &ref.Generation, &condemned); condemned {
				found.Condemned = append(found.Condemned, ref)
			} else if err == nil {
				found.Stale = append(found.Stale, ref)
			}
		}
		if err == nil {
			err = rows.Err()
		}
	}
	if err != nil {
		return collector.Orphans{}, fault(ctx, fmt.Sprintf("look for orphans among %d objects", len(objects)), err)
	}
	return found, nil
}
