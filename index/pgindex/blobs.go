package pgindex

import (
	"context"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
)

// scanBlob reads the columns "digest, size, media_type, name, state, generation,
// created_at", and into more what comes after them.
func scanBlob(row pgx.Row, more ...any) (cas.Blob, error) {
	var b cas.Blob
	into := append([]any{&b.Digest, &b.Size, &b.MediaType, &b.Name, &b.State, &b.Generation, &b.CreatedAt}, more...)
	if err := row.Scan(into...); err != nil {
		return cas.Blob{}, err
	}
	b.CreatedAt = b.CreatedAt.UTC()
	return b, nil
}

const sqlBlob = `
select digest, size, media_type, name, state, generation, created_at
from blobs
where digest = $1 and state in ('live', 'suspect')`

// Blob implements cas.Index.
func (x *Index) Blob(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	call, cancel := bounded(ctx)
	defer cancel()
	b, err := scanBlob(x.pool.QueryRow(call, sqlBlob, d[:]))
	if err != nil {
		return cas.Blob{}, blobFault(ctx, "look up", d, err)
	}
	return b, nil
}

// The two halves of the touch see the row at different times. "seen" is the row
// in the statement's snapshot and decides whether there is anything to write; in
// most cases there isn't, and it is the answer, true as of the snapshot. Where
// there is, the update waits for whoever holds the row, then works on its newest
// version, whatever became of it meanwhile, and returns that. So a row that was
// condemned by a transaction that the touch had to wait for comes back as
// condemned. (A condition on b.state in the update's where clause would instead
// drop a row that changed in between, and leave nothing but the outdated one to
// return.)
const sqlTouch = `
with seen as materialized (
    select digest, size, media_type, name, state, generation, created_at,
        state = 'live' and touched_at < now() - interval '1 minute' as due
    from blobs
    where digest = $1
), touched as (
    update blobs b set
        touched_at = case when b.state = 'live' then greatest(b.touched_at, now()) else b.touched_at end
    from seen
    where seen.due and b.digest = seen.digest
    returning b.digest, b.size, b.media_type, b.name, b.state, b.generation, b.created_at
)
select digest, size, media_type, name, state, generation, created_at from touched
union all
select digest, size, media_type, name, state, generation, created_at from seen where not due`

// Touch implements cas.Index. A live row that was touched within the last minute
// is not written, so that a popular blob is not a hot row.
func (x *Index) Touch(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	call, cancel := bounded(ctx)
	defer cancel()
	b, err := scanBlob(x.pool.QueryRow(call, sqlTouch, d[:]))
	if err != nil {
		return cas.Blob{}, blobFault(ctx, "touch", d, err)
	}
	return b, nil
}

// The announcement is part of the statement, so it goes out if, and only if, the
// change is committed.
const sqlCondemn = `
with condemned as (
    update blobs set state = 'condemned', condemned_at = now()
    where digest = $1 and state in ('live', 'suspect')
    returning digest
)
select pg_notify($2, encode(digest, 'hex')) from condemned`

// Condemn implements cas.Index. No table refers to blobs yet, so force makes no
// difference until files come, and cas.ErrBlobInUse with them.
func (x *Index) Condemn(ctx context.Context, d cas.Digest, force bool) error {
	call, cancel := bounded(ctx)
	defer cancel()
	tag, err := x.pool.Exec(call, sqlCondemn, d[:], channel)
	if err == nil && tag.RowsAffected() == 0 {
		err = pgx.ErrNoRows
	}
	if err != nil {
		return blobFault(ctx, "condemn", d, err)
	}
	return nil
}

const sqlSuspect = `
with suspected as (
    update blobs set state = 'suspect'
    where digest = $1 and generation = $2 and state = 'live'
    returning digest
)
select pg_notify($3, encode(digest, 'hex')) from suspected`

// Suspect implements cas.Index.
func (x *Index) Suspect(ctx context.Context, ref cas.ObjectRef) error {
	call, cancel := bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlSuspect, ref.Digest[:], ref.Generation, channel); err != nil {
		return blobFault(ctx, "mark suspect", ref.Digest, err)
	}
	return nil
}
