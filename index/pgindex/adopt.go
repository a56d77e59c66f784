package pgindex

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/cas/reindexer"
)

var _ reindexer.Index = (*Index)(nil)

// isAdoptable is the condition that an object of a generation can be adopted beside the
// row "b".
const isAdoptable = `b.state in ('gone', 'suspect') and b.generation < `

const sqlAdoptable = `
select o.digest, o.generation
from unnest($1::bytea[], $2::integer[]) with ordinality as o(digest, generation, n)
left join blobs b on b.digest = o.digest
where b.digest is null or (` + isAdoptable + `o.generation)
order by o.n`

// Adoptable implements reindexer.Index.
func (x *Index) Adoptable(ctx context.Context, refs []cas.ObjectRef) ([]cas.ObjectRef, error) {
	digests, generations := columnsOf(refs)
	return x.objectRefs(ctx, fmt.Sprintf("look for %d objects", len(refs)), sqlAdoptable, digests, generations)
}

const sqlStale = `
select o.digest, o.generation, case b.state when 'live' then b.generation else -1 end
from unnest($1::bytea[], $2::integer[]) with ordinality as o(digest, generation, n)
join blobs b on b.digest = o.digest
where (b.state = 'live' and o.generation < b.generation) or (b.state = 'gone' and o.generation <= b.generation)
order by o.n`

// Stale implements reindexer.Index.
func (x *Index) Stale(ctx context.Context, refs []cas.ObjectRef) ([]reindexer.StaleObject, error) {
	digests, generations := columnsOf(refs)
	call, cancel := x.bounded(ctx)
	defer cancel()
	rows, _ := x.pool.Query(call, sqlStale, digests, generations) // its error comes out of CollectRows
	stale, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o reindexer.StaleObject, err error) {
		err = row.Scan(&o.Digest, &o.Generation, &o.Live)
		return o, err
	})
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("look for old generations among %d objects", len(refs)), err)
	}
	return stale, nil
}

// columnsOf returns the columns of objects.
func columnsOf(refs []cas.ObjectRef) (digests [][]byte, generations []int32) {
	for _, ref := range refs {
		digests, generations = append(digests, ref.Digest[:]), append(generations, ref.Generation)
	}
	return digests, generations
}

// A suspect row keeps its name, media type and creation time.
const sqlAdopt = `
insert into blobs as b (digest, size, media_type, name, generation, created_at, state, commit_id)
select o.*, 'live', 0
from unnest($1::bytea[], $2::bigint[], $3::text[], $4::text[], $5::integer[], $6::timestamptz[]) as o
order by 1
on conflict (digest) do update set
    size = excluded.size, generation = excluded.generation, state = 'live', touched_at = now(),
    media_type = case b.state when 'gone' then excluded.media_type else b.media_type end,
    name = case b.state when 'gone' then excluded.name else b.name end,
    created_at = case b.state when 'gone' then excluded.created_at else b.created_at end,
    condemned_at = null, deleting_at = null, verified_at = null, commit_id = 0
where ` + isAdoptable + `excluded.generation
returning b.digest, b.generation`

// AdoptBlobs implements reindexer.Index.
func (x *Index) AdoptBlobs(ctx context.Context, blobs []cas.Blob) ([]cas.ObjectRef, error) {
	n := len(blobs)
	digests, sizes, mediaTypes, names := make([][]byte, n), make([]int64, n), make([]string, n), make([]string, n)
	generations, created := make([]int32, n), make([]time.Time, n)
	for i, b := range blobs {
		if err := b.Check(); err != nil {
			return nil, err
		}
		digests[i], sizes[i], mediaTypes[i], names[i] = b.Digest[:], b.Size, b.MediaType, b.Name
		generations[i], created[i] = b.Generation, b.CreatedAt.UTC()
	}
	return x.objectRefs(ctx, fmt.Sprintf("adopt %d objects", n), sqlAdopt, digests, sizes, mediaTypes, names, generations, created)
}

// objectRefs runs a statement that returns digests and generations.
func (x *Index) objectRefs(ctx context.Context, doing, statement string, args ...any) ([]cas.ObjectRef, error) {
	call, cancel := x.bounded(ctx)
	defer cancel()
	rows, _ := x.pool.Query(call, statement, args...) // its error comes out of CollectRows
	refs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ref cas.ObjectRef, err error) {
		err = row.Scan(&ref.Digest, &ref.Generation)
		return ref, err
	})
	if err != nil {
		return nil, fault(ctx, doing, err)
	}
	return refs, nil
}
