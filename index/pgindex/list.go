package pgindex

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
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
	call, cancel := bounded(ctx)
	defer cancel()
	// An error of Query comes out of CollectRows.
	rows, _ := x.pool.Query(call, sqlLive, keys)
	live, err := pgx.CollectRows(rows, pgx.RowTo[cas.Digest])
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("look for %d blobs", len(ds)), err)
	}
	found := make(map[cas.Digest]struct{}, len(live))
	for _, d := range live {
		found[d] = struct{}{}
	}
	var missing []cas.Digest
	for _, d := range ds {
		if _, ok := found[d]; !ok {
			missing = append(missing, d)
		}
	}
	return missing, nil
}

// The zero cursor lies before every row, so it needs no case of its own, and the
// row comparison can always use the index.
const sqlList = `
select digest, size, media_type, name, state, generation, created_at
from blobs
where state in ('live', 'suspect')
  and (created_at, digest) > ($1::timestamptz, $2::bytea)
  and ($3::text = '' or media_type = $3)
  and size >= $4
  and ($5::bigint is null or size <= $5)
order by created_at, digest
limit $6`

// List implements cas.Index.
func (x *Index) List(ctx context.Context, q cas.Query) ([]cas.Blob, error) {
	if q.Limit < 1 {
		return nil, fmt.Errorf("list blobs: a limit of %d; it must be at least 1", q.Limit)
	}
	call, cancel := bounded(ctx)
	defer cancel()
	// An error of Query comes out of CollectRows.
	rows, _ := x.pool.Query(call, sqlList,
		q.After.CreatedAt.UTC(), q.After.Digest[:], q.MediaType, q.MinSize, q.MaxSize, int64(q.Limit))
	blobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (cas.Blob, error) { return scanBlob(row) })
	if err != nil {
		return nil, fault(ctx, "list blobs", err)
	}
	return blobs, nil
}
