package pgindex

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/index"
)

const sqlLive = `select digest from blobs where digest = any($1::bytea[]) and state = 'live'`

// Missing implements cas.Index.
func (x *Index) Missing(ctx context.Context, ds []cas.Digest) ([]cas.Digest, error) {
	if len(ds) == 0 {
		return nil, nil
	}
	keys := make([][]byte, len(ds))
	for i := range ds {
		keys[i] = ds[i][:]
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	// An error of Query comes out of CollectRows.
	rows, _ := x.pool.Query(call, sqlLive, keys)
	live, err := pgx.CollectRows(rows, pgx.RowTo[cas.Digest])
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("look for %d blobs", len(ds)), err)
	}
	return index.Missing(ds, live), nil
}

// The zero cursor is before every row. So it needs no case of its own, and the row
// comparison can always use the index.
var sqlList = `
select ` + blobTable.Select() + `
from blobs
where state in ('live', 'suspect')
  and (created_at, digest) > ($1::timestamptz, $2::bytea)
  and (created_at, digest) <= ($7::timestamptz, $8::bytea)
  and ($3::text = '' or media_type = $3 or starts_with(media_type, $3 || ';'))
  and size >= $4
  and ($5::bigint is null or size <= $5)
order by created_at, digest
limit $6`

// List implements cas.Index.
func (x *Index) List(ctx context.Context, q cas.Query) ([]cas.Blob, error) {
	if q.Limit < 1 {
		return nil, fmt.Errorf("list blobs: a limit of %d; it must be at least 1", q.Limit)
	}
	through := index.Through(q)
	blobs, err := search(ctx, x, blobTable, sqlList,
		q.After.CreatedAt.UTC(), q.After.Digest[:], q.MediaType, q.MinSize, q.MaxSize, int64(q.Limit),
		through.CreatedAt.UTC(), through.Digest[:])
	if err != nil {
		return nil, fault(ctx, "list blobs", err)
	}
	return blobs, nil
}

var sqlBetween = `
select ` + blobTable.Select() + `
from blobs
where digest between $1 and $2 and state in ('live', 'suspect')
order by digest
limit $3`

// Between implements cas.Index.
func (x *Index) Between(ctx context.Context, first, last cas.Digest, limit int) ([]cas.Blob, error) {
	blobs, err := search(ctx, x, blobTable, sqlBetween, first[:], last[:], int64(limit))
	if err != nil {
		return nil, fault(ctx, "find blobs by the beginning of a digest", err)
	}
	return blobs, nil
}

const sqlSkip = `
select created_at, digest
from blobs
where state in ('live', 'suspect') and (created_at, digest) > ($1::timestamptz, $2::bytea)
order by created_at, digest
offset $3 limit 1`

// Skip implements cas.Index.
func (x *Index) Skip(ctx context.Context, after cas.Cursor, n int) (c cas.Cursor, err error) {
	call, cancel := x.bounded(ctx)
	defer cancel()
	err = x.pool.QueryRow(call, sqlSkip, after.CreatedAt.UTC(), after.Digest[:], int64(n-1)).Scan(&c.CreatedAt, &c.Digest)
	if errors.Is(err, pgx.ErrNoRows) {
		return cas.Cursor{}, nil
	}
	if err != nil {
		return cas.Cursor{}, fault(ctx, "list blobs", err)
	}
	return c, nil
}
