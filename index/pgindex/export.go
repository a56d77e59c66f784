package pgindex

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/index/export"
	"casgate/index/sqlrow"
	"casgate/providers/ledger"
)

var (
	_ export.Source = (*Index)(nil)
	_ export.Target = (*Index)(nil)
)

var (
	exportedBlobTable = sqlrow.ExportedBlobs(sqlrow.Postgres)
	textTable         = sqlrow.Texts(sqlrow.Postgres)

	sqlExportFiles  = `select ` + fileTable.Select() + ` from files where id > $1 order by id limit $2`
	sqlExportCopies = `
select ` + copyTable.Select() + ` from copies
where (digest, provider, account, purpose, extension) > ($1::bytea, $2::text, $3::text, $4::text, $5::text)
order by digest, provider, account, purpose, extension
limit $6`
	sqlExportTexts = `
select ` + textTable.Select() + ` from extracted_texts
where (digest, provider, extension) > ($1::bytea, $2::text, $3::text)
order by digest, provider, extension
limit $4`
	sqlExportBlobs = `select ` + exportedBlobTable.Select() + ` from blobs where digest > $1 order by digest limit $2`
)

// ExportFiles implements export.Source.
func (x *Index) ExportFiles(ctx context.Context, after string, limit int) ([]cas.File, error) {
	return exported(ctx, x, "files", fileTable, sqlExportFiles, after, int64(limit))
}

// ExportCopies implements export.Source.
func (x *Index) ExportCopies(ctx context.Context, after ledger.Key, limit int) ([]ledger.Copy, error) {
	return exported(ctx, x, "copies", copyTable, sqlExportCopies, keyArgs(after, int64(limit))...)
}

// ExportTexts implements export.Source.
func (x *Index) ExportTexts(ctx context.Context, after ledger.TextKey, limit int) ([]export.Text, error) {
	return exported(ctx, x, "texts", textTable, sqlExportTexts, after.Digest[:], after.Provider, after.Extension, int64(limit))
}

// ExportBlobs implements export.Source.
func (x *Index) ExportBlobs(ctx context.Context, after cas.Digest, limit int) ([]export.Blob, error) {
	return exported(ctx, x, "blobs", exportedBlobTable, sqlExportBlobs, after[:], int64(limit))
}

func exported[R any](ctx context.Context, x *Index, kind string, table sqlrow.Table[R], query string, args ...any) ([]R, error) {
	rows, err := list(ctx, x, table, query, args...)
	if err != nil {
		return nil, fault(ctx, "export "+kind, err)
	}
	return rows, nil
}

// batchOf is the beginning of a statement that stores rows of a table: the rows, and
// their positions, as they come in the argument.
func batchOf[R any](table sqlrow.Table[R]) string {
	return `
with batch as materialized (
    select * from jsonb_to_recordset($1::jsonb) as r(position bigint, ` + table.Definitions() + `)
), `
}

// outcomeOf is the outcome of a row: the values are those of export.Outcome. Conditions
// about an existing row are null if it came after the statement's snapshot.
func outcomeOf(isStored, differs string) string {
	return `
select case when ` + isStored + ` then 0 when ` + differs + ` then 2 else 1 end
from batch r `
}

var (
	sqlRestoreBlobs = batchOf(exportedBlobTable) + `stored as (
    insert into blobs as known (` + exportedBlobTable.Names() + `, files, commit_id)
    select ` + exportedBlobTable.NamesOf("r") + `, (select count(*) from files f where f.digest = r.digest), 0
    from batch r
    order by r.digest
    on conflict (digest) do update set
        name = coalesce(nullif(known.name, ''), excluded.name),
        media_type = coalesce(nullif(known.media_type, '` + cas.DefaultMediaType + `'), excluded.media_type)
    where known.size = excluded.size and known.state in ('live', 'suspect') and (
        known.name = '' and excluded.name <> '' or
        known.media_type = '` + cas.DefaultMediaType + `' and excluded.media_type <> '` + cas.DefaultMediaType + `')
    returning digest
)
select case when b.digest is null and s.digest is not null then 0 when s.digest is not null then 3 when b.size <> r.size then 2 else 1 end
from batch r
left join stored s on s.digest = r.digest
left join blobs b on b.digest = r.digest
order by r.position`

	// A blob without a row gets a tombstone, which counts its files.
	sqlRestoreFiles = batchOf(fileTable) + `stored as (
    insert into files (` + fileTable.Names() + `)
    select ` + fileTable.NamesOf("r") + ` from batch r
    order by r.id
    on conflict (id) do nothing
    returning id, digest, size
), counted as (
    insert into blobs as b (digest, size, media_type, name, generation, state, files, commit_id)
    select s.digest, max(s.size), '` + cas.DefaultMediaType + `', '', 0, 'gone', count(*), 0
    from stored s
    where s.digest is not null
    group by s.digest
    order by s.digest
    on conflict (digest) do update set files = b.files + excluded.files
)` + outcomeOf(`s.id is not null`, `r.digest <> f.digest`) + `
left join stored s on s.id = r.id
left join files f on f.id = r.id
order by r.position`

	sqlRestoreCopies = batchOf(copyTable) + `stored as (
    insert into copies (` + copyTable.Names() + `)
    select ` + copyTable.NamesOf("r") + ` from batch r
    order by r.digest, r.provider, r.account, r.purpose, r.extension
    on conflict do nothing
    returning digest, provider, account, purpose, extension
)` + outcomeOf(`s.digest is not null`, `c.file_id <> r.file_id`) + `
left join stored s on (s.digest, s.provider, s.account, s.purpose, s.extension) = (r.digest, r.provider, r.account, r.purpose, r.extension)
left join copies c on (c.digest, c.provider, c.account, c.purpose, c.extension) = (r.digest, r.provider, r.account, r.purpose, r.extension)
order by r.position`

	sqlRestoreTexts = batchOf(textTable) + `stored as (
    insert into extracted_texts (` + textTable.Names() + `)
    select ` + textTable.NamesOf("r") + ` from batch r
    order by r.digest, r.provider, r.extension
    on conflict do nothing
    returning digest, provider, extension
)` + outcomeOf(`s.digest is not null`, `t.text_digest <> r.text_digest`) + `
left join stored s on (s.digest, s.provider, s.extension) = (r.digest, r.provider, r.extension)
left join extracted_texts t on (t.digest, t.provider, t.extension) = (r.digest, r.provider, r.extension)
order by r.position`
)

// RestoreBlobs implements export.Target.
func (x *Index) RestoreBlobs(ctx context.Context, blobs []export.Blob) ([]export.Outcome, error) {
	return restored(ctx, x, restoration[export.Blob]{"blobs", exportedBlobTable, sqlRestoreBlobs}, blobs)
}

// RestoreFiles implements export.Target.
func (x *Index) RestoreFiles(ctx context.Context, files []cas.File) ([]export.Outcome, error) {
	for _, f := range files {
		if err := f.CheckRestored(); err != nil {
			return nil, fmt.Errorf("restore file %.100q: %w", f.ID, err)
		}
	}
	return restored(ctx, x, restoration[cas.File]{"files", fileTable, sqlRestoreFiles}, files)
}

// RestoreCopies implements export.Target.
func (x *Index) RestoreCopies(ctx context.Context, copies []ledger.Copy) ([]export.Outcome, error) {
	return restored(ctx, x, restoration[ledger.Copy]{"copies", copyTable, sqlRestoreCopies}, copies)
}

// RestoreTexts implements export.Target.
func (x *Index) RestoreTexts(ctx context.Context, texts []export.Text) ([]export.Outcome, error) {
	return restored(ctx, x, restoration[export.Text]{"texts", textTable, sqlRestoreTexts}, texts)
}

// restoration says how rows of a kind are stored.
type restoration[R any] struct {
	kind      string // plural
	table     sqlrow.Table[R]
	statement string
}

func restored[R any](ctx context.Context, x *Index, how restoration[R], rows []R) ([]export.Outcome, error) {
	doing := fmt.Sprintf("restore %d %s", len(rows), how.kind)
	records := make([]map[string]any, len(rows))
	for i, row := range rows {
		records[i] = how.table.Record(row)
		records[i]["position"] = i
	}
	batch, err := json.Marshal(records)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	found, _ := x.pool.Query(call, how.statement, string(batch)) // its error comes out of CollectRows
	outcomes, err := pgx.CollectRows(found, pgx.RowTo[export.Outcome])
	if err != nil {
		return nil, fault(ctx, doing, err)
	}
	return outcomes, nil
}
