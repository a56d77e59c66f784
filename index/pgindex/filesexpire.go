package pgindex

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
)

// freeFiles removes the files of "due", which must be locked, and reduces the counts of
// their blobs: one update per blob, always in the same order, so that two batches don't
// deadlock.
//
// The new count is the count of the locked row, minus the files. It can't be written
// "b.files - c.n": if the row has changed since the statement began, Postgres first
// computes that from the outdated version, and checks it, and only then finds the newer
// version.
//
// A file may have got its blob, and the blob its row, after the statement began. The
// statement then sees only one of the two, and skips the file.
//
// If "due" says that the blob goes too, it is condemned if no other file refers to it. Other
// files that have expired don't count, though the blob's row still counts them.
var freeFiles = `counts as materialized (
    select b.digest, b.files, g.n,
        g.everywhere and b.state in ('live', 'suspect') and b.files - g.n = (
            select count(*) from files f
            where f.digest = b.digest and f.expires_at <= now() and f.id not in (select id from due)
        ) as condemned
    from (
        select digest, count(*)::integer as n, bool_or(everywhere) as everywhere
        from due where digest is not null group by digest
    ) as g
    join blobs b on b.digest = g.digest
    order by b.digest
    for update of b
), freed as (
    update blobs b set
        files = c.files - c.n,
        touched_at = greatest(b.touched_at, now()), -- the retention's time begins
        state = case when c.condemned then 'condemned' else b.state end,
        condemned_at = case when c.condemned then now() else b.condemned_at end
    from counts c where b.digest = c.digest
), gone as (
    delete from files f using due
    where f.id = due.id and (due.digest is null or due.digest in (select digest from counts))
    returning ` + fileTable.NamesOf("f") + `
), remembered as (
    insert into deleted_files (id, created_at, is_import)
    select id, created_at, origin_source is not null and (expires_at is null or expires_at > now()) from gone
    on conflict (id) do update set created_at = excluded.created_at, deleted_at = excluded.deleted_at, is_import = excluded.is_import
)
`

// Files that another transaction is changing are skipped until the next call, so the
// statement never waits.
var sqlExpireFiles = `
with due as materialized (
    select f.id, f.digest, f.on_expiry = 'everywhere' as everywhere from files f
    where f.expires_at <= now()
    order by f.expires_at, f.id
    limit $1
    for update skip locked
), ` + freeFiles + `
select ` + fileTable.NamesOf("gone") + `, coalesce(c.condemned and gone.on_expiry = 'everywhere', false), case when c.condemned then pg_notify($2, encode(gone.digest, 'hex')) end::text
from gone
left join counts c on c.digest = gone.digest
order by gone.expires_at, gone.id`

// ExpireFiles implements cas.FileIndex.
func (x *Index) ExpireFiles(ctx context.Context, limit int) ([]cas.ExpiredFile, error) {
	if limit < 1 {
		return nil, fmt.Errorf("expire files: a limit of %d; it must be at least 1", limit)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	rows, _ := x.pool.Query(call, sqlExpireFiles, int64(limit), channel) // its error comes out of CollectRows
	gone, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f cas.ExpiredFile, err error) {
		f.File, err = fileTable.Scan(row, &f.Condemned, nil)
		return f, err
	})
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("expire up to %d files", limit), err)
	}
	if _, err := x.pool.Exec(call, sqlForgetFiles); err != nil {
		return gone, fault(ctx, "forget the places of deleted files", err)
	}
	if _, err := x.pool.Exec(call, sqlForgetKeys); err != nil {
		return gone, fault(ctx, "forget old idempotency keys", err)
	}
	return gone, nil
}

// sqlForgetFiles forgets where files stood that were deleted more than a day ago. Those of imports are
// kept: they must not come back.
const sqlForgetFiles = `delete from deleted_files where not is_import and deleted_at < now() - interval '1 day'`

// sqlFilePosition is the place of a file, which may be deleted.
const sqlFilePosition = `
select created_at from files where id = $1
union all
select created_at from deleted_files where id = $1
limit 1`

// FilePosition implements cas.FileIndex.
func (x *Index) FilePosition(ctx context.Context, id string) (cas.FileCursor, error) {
	if !cas.IsFileID(id) {
		return cas.FileCursor{}, noFile("find the place of", id)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	at := cas.FileCursor{ID: id}
	if err := x.pool.QueryRow(call, sqlFilePosition, id).Scan(&at.CreatedAt); err != nil {
		return cas.FileCursor{}, fileFault(ctx, "find the place of", id, err)
	}
	return at, nil
}

// All gateways write batches to the same rows. Locking the rows in one order prevents
// deadlocks between two batches.
const sqlTouchFiles = `
with read as materialized (
    select f.id, r.read_at
    from files f
    join unnest($1::text[], $2::timestamptz[]) as r(id, read_at) on f.id = r.id
    where ` + aliveFile + ` and (f.accessed_at is null or f.accessed_at < r.read_at)
    order by f.id
    for update of f
)
update files f set accessed_at = greatest(f.accessed_at, r.read_at)
from read r where f.id = r.id`

// TouchFiles implements cas.FileIndex.
func (x *Index) TouchFiles(ctx context.Context, read map[string]time.Time) error {
	if len(read) == 0 {
		return nil
	}
	ids, times := timesByID(read)
	call, cancel := x.bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlTouchFiles, ids, times); err != nil {
		return fault(ctx, fmt.Sprintf("record when %d files were read", len(ids)), err)
	}
	return nil
}

const sqlProlongFiles = `
with prolonged as materialized (
    select f.id, p.until
    from files f
    join unnest($1::text[], $2::timestamptz[]) as p(id, until) on f.id = p.id
    where ` + aliveFile + ` and f.expires_at < p.until
    order by f.id
    for update of f
)
update files f set expires_at = greatest(f.expires_at, p.until)
from prolonged p where f.id = p.id`

// ProlongFiles implements cas.FileIndex.
func (x *Index) ProlongFiles(ctx context.Context, until map[string]time.Time) error {
	ids, times := timesByID(until)
	if len(ids) == 0 {
		return nil
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlProlongFiles, ids, times); err != nil {
		return fault(ctx, fmt.Sprintf("prolong %d files", len(ids)), err)
	}
	return nil
}

// timesByID returns the ids that files can have, and their times.
func timesByID(all map[string]time.Time) (ids []string, times []time.Time) {
	for id, at := range all {
		if cas.IsFileID(id) {
			ids, times = append(ids, id), append(times, at.UTC())
		}
	}
	return ids, times
}
