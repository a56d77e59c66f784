package pgindex

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/index"
)

// importedFile has all columns but the creation time, which the database sets if the
// file has none.
var importedFile = fileTable.Without("created_at")

// Expired files with one of the ids are removed first; the insert waits for that.
var sqlImportFiles = `
with batch as materialized (
    select * from jsonb_to_recordset($1::jsonb) as r(` + fileTable.Definitions() + `)
), due as materialized (
    select f.id, f.digest, false as everywhere from files f join batch r on r.id = f.id
    where f.expires_at <= now()
    order by f.id
    for update of f
), ` + freeFiles + `insert into files (created_at, ` + importedFile.Names() + `)
select coalesce(created_at, now()), ` + importedFile.Names() + `
from batch cross join (select count(*) from gone) as cleared
order by id
on conflict (id) do nothing
returning id`

// sqlLeaveDeleted removes the files again that were deleted before. It sees also the deletes
// for which the insert had to wait. Nobody has seen the files, and none has a blob yet.
const sqlLeaveDeleted = `
delete from files f using deleted_files d
where f.id = any($1) and d.id = f.id and d.is_import
returning f.id`

// sqlForgetDeletes forgets that files were deleted.
const sqlForgetDeletes = `delete from deleted_files where id = any($1)`

// ImportFiles implements cas.FileIndex. A file without a creation time gets the current
// time.
func (x *Index) ImportFiles(ctx context.Context, files []cas.File, o cas.ImportFilesOptions) (stored []string, err error) {
	if len(files) == 0 {
		return nil, nil
	}
	doing := fmt.Sprintf("import %d files", len(files))
	rows := make([]map[string]any, len(files))
	for i, f := range files {
		if err := f.CheckImport(); err != nil {
			return nil, fmt.Errorf("import file %.100q: %w", f.ID, err)
		}
		rows[i] = fileTable.Record(f)
	}
	batch, err := json.Marshal(rows)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	err = pgx.BeginFunc(call, x.pool, func(tx pgx.Tx) error {
		// An error of Query comes out of CollectRows.
		found, _ := tx.Query(call, sqlImportFiles, string(batch))
		if stored, err = pgx.CollectRows(found, pgx.RowTo[string]); err != nil {
			return err
		}
		if o.WithDeleted {
			_, err := tx.Exec(call, sqlForgetDeletes, stored)
			return err
		}
		left, _ := tx.Query(call, sqlLeaveDeleted, stored)
		deleted, err := pgx.CollectRows(left, pgx.RowTo[string])
		stored = slices.DeleteFunc(stored, func(id string) bool { return slices.Contains(deleted, id) })
		return err
	})
	if err != nil {
		return nil, fault(ctx, doing, err)
	}
	return stored, nil
}

const sqlKnownImports = `
select f.id from files f where f.id = any($1) and ` + aliveFile + `
union
select id from deleted_files where id = any($1) and is_import and not $2`

// KnownImports implements cas.FileIndex.
func (x *Index) KnownImports(ctx context.Context, ids []string, o cas.ImportFilesOptions) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	rows, _ := x.pool.Query(call, sqlKnownImports, ids, o.WithDeleted) // an error comes out of CollectRows
	known, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("look for %d imported files", len(ids)), err)
	}
	return known, nil
}

// sqlResolveFile accepts a blob of any size if $3 is null.
//
// The file is locked before the blob, as in DeleteFile. Either both are written or
// none: if the blob isn't visible once it is locked, there is no row to resolve the
// file with.
var sqlResolveFile = `
with pending as materialized (
    select f.id from files f
    where f.id = $1 and f.digest is null and ` + aliveFile + `
    for update
), used as (
    update blobs b set files = b.files + 1
    from pending
    where b.digest = $2 and b.state in ('live', 'suspect') and ($3::bigint is null or b.size = $3)
    returning b.size, b.media_type
), resolved as (
    update files f set
        digest = $2, size = used.size, origin_error = '',
        media_type = case f.media_type when '' then used.media_type else f.media_type end
    from used
    where f.id = $1
    returning ` + fileTable.NamesOf("f") + `
)
select ` + fileTable.Select() + `, true as visible from resolved
union all
select ` + fileTable.Select() + `, exists (select from blobs b where b.digest = $2 and b.state in ('live', 'suspect'))
from files f
where f.id = $1 and ` + aliveFile + ` and not exists (select from resolved)`

// ResolveFile implements cas.FileIndex.
func (x *Index) ResolveFile(ctx context.Context, id string, blob cas.Blob) (cas.File, error) {
	if !cas.IsFileID(id) {
		return cas.File{}, noFile("resolve", id)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	for {
		var visible bool
		f, err := fileTable.Scan(x.pool.QueryRow(call, sqlResolveFile, id, blob.Digest[:], nil), &visible)
		switch {
		case err != nil:
			return cas.File{}, fileFault(ctx, "resolve", id, err)
		case !f.IsPending():
			return f, nil
		case !visible:
			return cas.File{}, fmt.Errorf("resolve file %s: blob %s: %w", id, blob.Digest.Short(), cas.ErrBlobNotFound)
		}
		// The file or the blob changed while the statement ran, so the next attempt may
		// succeed.
	}
}

const sqlFailFile = `
update files f set origin_error = case when f.digest is null then $2 else f.origin_error end
where f.id = $1 and ` + aliveFile

// FailFile implements cas.FileIndex.
func (x *Index) FailFile(ctx context.Context, id, reason string) error {
	if !cas.IsFileID(id) {
		return noFile("record the import error of", id)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	tag, err := x.pool.Exec(call, sqlFailFile, id, index.FileReason(reason))
	if err == nil && tag.RowsAffected() == 0 {
		err = pgx.ErrNoRows
	}
	if err != nil {
		return fileFault(ctx, "record the import error of", id, err)
	}
	return nil
}
