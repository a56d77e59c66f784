package sqliteindex

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"casgate/cas"
	"casgate/index"
)

// One parameter has all digests, so that one statement looks them up at one moment.
const sqlLive = `
select digest from blobs
where state = 'live' and digest in (select unhex(value) from json_each(?))`

// Missing implements cas.Index.
func (x *Index) Missing(ctx context.Context, ds []cas.Digest) ([]cas.Digest, error) {
	if len(ds) == 0 {
		return nil, nil
	}
	keys := make([]string, len(ds))
	for i := range ds {
		keys[i] = ds[i].Hex()
	}
	digests, err := json.Marshal(keys)
	if err != nil {
		return nil, fmt.Errorf("look for %d blobs: %w", len(ds), err)
	}
	scan := func(row scanner) (d cas.Digest, err error) {
		err = row.Scan(&d)
		return d, err
	}
	live, err := collect(ctx, x, scan, sqlLive, string(digests))
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("look for %d blobs", len(ds)), err)
	}
	return index.Missing(ds, live), nil
}

var sqlList = `
select ` + blobTable.Select() + `
from blobs
where state in ('live', 'suspect')
  and (created_at, digest) > (?1, ?2)
  and (created_at, digest) <= (?7, ?8)
  and (?3 = '' or media_type = ?3 or substr(media_type, 1, length(?3) + 1) = ?3 || ';')
  and size >= ?4
  and (?5 is null or size <= ?5)
order by created_at, digest
limit ?6`

// List implements cas.Index.
func (x *Index) List(ctx context.Context, q cas.Query) ([]cas.Blob, error) {
	if q.Limit < 1 {
		return nil, fmt.Errorf("list blobs: a limit of %d; it must be at least 1", q.Limit)
	}
	var most sql.NullInt64
	if q.MaxSize != nil {
		most = sql.NullInt64{Int64: *q.MaxSize, Valid: true}
	}
	// The zero time is long before 1970: its microseconds are negative, and thus before
	// every row.
	through := index.Through(q)
	blobs, err := search(ctx, x, blobTable, sqlList,
		q.After.CreatedAt.UnixMicro(), q.After.Digest[:], q.MediaType, q.MinSize, most, q.Limit,
		through.CreatedAt.UnixMicro(), through.Digest[:])
	if err != nil {
		return nil, fault(ctx, "list blobs", err)
	}
	return blobs, nil
}

var sqlBetween = `
select ` + blobTable.Select() + `
from blobs
where digest between ?1 and ?2 and state in ('live', 'suspect')
order by digest
limit ?3`

// Between implements cas.Index.
func (x *Index) Between(ctx context.Context, first, last cas.Digest, limit int) ([]cas.Blob, error) {
	blobs, err := search(ctx, x, blobTable, sqlBetween, first[:], last[:], limit)
	if err != nil {
		return nil, fault(ctx, "find blobs by the beginning of a digest", err)
	}
	return blobs, nil
}

const sqlSkip = `
select created_at, digest
from blobs
where state in ('live', 'suspect') and (created_at, digest) > (?1, ?2)
order by created_at, digest
limit 1 offset ?3`

// Skip implements cas.Index.
func (x *Index) Skip(ctx context.Context, after cas.Cursor, n int) (cas.Cursor, error) {
	scan := func(row scanner) (c cas.Cursor, err error) {
		var at int64
		err = row.Scan(&at, &c.Digest)
		c.CreatedAt = time.UnixMicro(at).UTC()
		return c, err
	}
	found, err := collect(ctx, x, scan, sqlSkip, after.CreatedAt.UnixMicro(), after.Digest[:], n-1)
	if err != nil {
		return cas.Cursor{}, fault(ctx, "list blobs", err)
	}
	if len(found) == 0 {
		return cas.Cursor{}, nil
	}
	return found[0], nil
}
