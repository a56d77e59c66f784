package pgindex

import (
	"context"
	"fmt"

	"casgate/cas"
)

var sqlBlob = `
select ` + blobTable.Select() + `
from blobs
where digest = $1 and state in ('live', 'suspect')`

// Blob implements cas.Index.
func (x *Index) Blob(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	call, cancel := x.bounded(ctx)
	defer cancel()
	b, err := blobTable.Scan(x.pool.QueryRow(call, sqlBlob, d[:]))
	if err != nil {
		return cas.Blob{}, blobFault(ctx, "look up", d, err)
	}
	return b, nil
}

// The two parts of the touch see the row at different times. "seen" is the row in the
// statement's snapshot, and decides whether there is anything to write. In most cases
// there isn't, and "seen" is the answer. Otherwise the update waits for the
// transaction that holds the row, then works on the row's newest version, in any
// state, and returns that. So if the touch had to wait for a transaction that
// condemned the row, the row comes back as condemned. (A condition on b.state in the
// update's where clause would instead drop a row that changed in between, so that only
// the outdated row could be returned.)
var sqlTouch = `
with seen as materialized (
    select ` + blobTable.Names() + `,
        state = 'live' and touched_at < now() - interval '1 minute' as due
    from blobs
    where digest = $1
), touched as (
    update blobs b set
        touched_at = case when b.state = 'live' then greatest(b.touched_at, now()) else b.touched_at end
    from seen
    where seen.due and b.digest = seen.digest
    returning ` + blobTable.NamesOf("b") + `
)
select ` + blobTable.Select() + ` from touched
union all
select ` + blobTable.Select() + ` from seen where not due`

// Touch implements cas.Index. It doesn't write a live row that was touched within the
// last minute, so that a popular blob doesn't become a hot row.
func (x *Index) Touch(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	call, cancel := x.bounded(ctx)
	defer cancel()
	b, err := blobTable.Scan(x.pool.QueryRow(call, sqlTouch, d[:]))
	if err != nil {
		return cas.Blob{}, blobFault(ctx, "touch", d, err)
	}
	return b, nil
}

// On a conflict Postgres locks the row and evaluates the set clause for its newest
// version, so the verdict is about the current row:
//
//	refresh  the row is live, or condemned and now rescued
//	repair   the row is suspect, and this object is not older
//	renew    the row's object is being removed, or is gone, and this is a new object
//	leave    all other cases, or this size contradicts the row
//
// Only an insert, a repair and a renewal store this call's commit_id. By it the
// statement knows what it did itself: Postgres before 18 doesn't return the old row.
var sqlCommit = `
insert into blobs as b (digest, size, media_type, name, generation, state, commit_id)
values ($1, $2, $3, $4, $5, 'live', $6)
on conflict (digest) do update set
    (size, media_type, name, generation, state, created_at, touched_at,
     condemned_at, deleting_at, verified_at, scrub_claim, commit_id) = (
        select
            case when verdict in ('renew', 'repair') then excluded.size else b.size end,
            case verdict when 'renew' then excluded.media_type else b.media_type end,
            case when verdict = 'renew' or (verdict <> 'leave' and b.name = '') then excluded.name else b.name end,
            case when verdict in ('renew', 'repair') then excluded.generation else b.generation end,
            case verdict when 'leave' then b.state else 'live' end,
            case verdict when 'renew' then now() else b.created_at end,
            case verdict when 'leave' then b.touched_at else greatest(b.touched_at, now()) end,
            case verdict when 'leave' then b.condemned_at end,
            case verdict when 'leave' then b.deleting_at end,
            case when verdict in ('renew', 'repair') then null else b.verified_at end,
            case verdict when 'leave' then b.scrub_claim end,
            case when verdict in ('renew', 'repair') then excluded.commit_id else b.commit_id end
        from (select case
            when b.state in ('deleting', 'gone') then
                case when excluded.generation > b.generation then 'renew' else 'leave' end
            when b.state = 'suspect' then
                case when excluded.generation >= b.generation then 'repair' else 'leave' end
            when b.size <> excluded.size then 'leave'
            else 'refresh'
        end as verdict) as judged
    )
returning ` + blobTable.Select() + `, commit_id = $6`

// Commit implements cas.Index. If b's size contradicts a live or condemned row, Commit
// returns the row unchanged: the caller has found a broken database.
func (x *Index) Commit(ctx context.Context, b cas.Blob) (row cas.Blob, created bool, err error) {
	if err := b.Check(); err != nil {
		return cas.Blob{}, false, err
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	row, err = blobTable.Scan(x.pool.QueryRow(call, sqlCommit, commitArgs(b)...), &created)
	if err != nil {
		return cas.Blob{}, false, blobFault(ctx, "commit", b.Digest, err)
	}
	return row, created, nil
}

// The announcement is part of the statement, so it goes out if, and only if, the
// change is committed. If nothing changed, the answer comes from the statement's
// snapshot. If that contradicts the update, the row has changed in between, and the
// statement must be repeated.
const sqlCondemn = `
with seen as materialized (` + seenBlob + `
), condemned as (
    update blobs b set state = 'condemned', condemned_at = now()
    from seen s
    where b.digest = s.digest and b.state in ('live', 'suspect') and (not $3 or ` + unused + `)
    returning b.digest
)
select 'condemned', pg_notify($2, encode(digest, 'hex'))::text as told from condemned
union all
select case when used then 'used' else 'outdated' end, null from seen where not exists (select from condemned)`

// Condemn implements cas.Index. With Force the blob is condemned even if files refer to
// it. The collector doesn't ask about files, since only Force condemns a blob that has
// any. The files stay, and have their bytes again after the next upload of the blob.
func (x *Index) Condemn(ctx context.Context, d cas.Digest, o cas.CondemnOptions) error {
	call, cancel := x.bounded(ctx)
	defer cancel()
	for {
		var outcome string
		if err := x.pool.QueryRow(call, sqlCondemn, d[:], channel, !o.Force).Scan(&outcome, nil); err != nil {
			return blobFault(ctx, "delete", d, err)
		}
		switch outcome {
		case "condemned":
			return nil
		case "used":
			return fmt.Errorf("delete blob %s: %w", d.Short(), cas.ErrBlobInUse)
		}
	}
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
	call, cancel := x.bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlSuspect, ref.Digest[:], ref.Generation, channel); err != nil {
		return blobFault(ctx, "mark suspect", ref.Digest, err)
	}
	return nil
}

// No cache keeps a suspect row, so there is nothing to announce.
const sqlTrust = `
update blobs set state = 'live', verified_at = now()
where digest = $1 and generation = $2 and state = 'suspect'`

// Trust implements cas.Index.
func (x *Index) Trust(ctx context.Context, ref cas.ObjectRef) error {
	call, cancel := x.bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlTrust, ref.Digest[:], ref.Generation); err != nil {
		return blobFault(ctx, "mark live", ref.Digest, err)
	}
	return nil
}

const sqlSetMediaType = `
with changed as (
    update blobs set media_type = $3
    where digest = $1 and media_type = $2 and state in ('live', 'suspect')
    returning digest
)
select pg_notify($4, encode(digest, 'hex')) from changed`

// SetMediaType implements cas.Index.
func (x *Index) SetMediaType(ctx context.Context, d cas.Digest, from, to string) error {
	if err := (cas.Blob{Digest: d, MediaType: to}).Check(); err != nil {
		return err
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlSetMediaType, d[:], from, to, channel); err != nil {
		return blobFault(ctx, "set the media type of", d, err)
	}
	return nil
}

const sqlFillName = `
with changed as (
    update blobs set name = $2
    where digest = $1 and name = '' and state in ('live', 'suspect')
    returning digest
)
select pg_notify($3, encode(digest, 'hex')) from changed`

// FillName implements cas.Index.
func (x *Index) FillName(ctx context.Context, d cas.Digest, name string) error {
	if err := (cas.Blob{Digest: d, Name: name}).Check(); err != nil {
		return err
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlFillName, d[:], name, channel); err != nil {
		return blobFault(ctx, "name", d, err)
	}
	return nil
}
