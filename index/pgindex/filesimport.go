package pgindex

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/index"
)

// importedFile is a file as sqlImportFiles reads it: all of a batch are one argument.
type importedFile struct {
	ID             string          `json:"id"`
	Size           int64           `json:"size"`
	Name           string          `json:"name"`
	MediaType      string          `json:"media_type"`
	Purpose        string          `json:"purpose"`
	Context        string          `json:"context"`
	Tags           []string        `json:"tags"`
	Metadata       json.RawMessage `json:"metadata"`
	CreatedAt      *time.Time      `json:"created_at"`
	AccessedAt     *time.Time      `json:"accessed_at"`
	ExpiresAt      *time.Time      `json:"expires_at"`
	OriginSource   string          `json:"origin_source"`
	OriginKey      string          `json:"origin_key"`
	OriginDigest   *string         `json:"origin_digest"` // hex digits
	OriginProvider string          `json:"origin_provider"`
	OriginFileID   string          `json:"origin_file_id"`
	OriginError    string          `json:"origin_error"`
}

// What has expired under one of the ids goes first, and the rest waits for that.
const sqlImportFiles = `
with batch as materialized (
    select * from jsonb_to_recordset($1::jsonb) as r(
        id text, size bigint, name text, media_type text, purpose text, context text, tags text[], metadata jsonb,
        created_at timestamptz, accessed_at timestamptz, expires_at timestamptz,
        origin_source text, origin_key text, origin_digest text, origin_provider text, origin_file_id text, origin_error text)
), due as materialized (
    select f.id, f.digest from files f join batch r on r.id = f.id
    where f.expires_at <= now()
    order by f.id
    for update of f
), ` + freeFiles + `insert into files (id, size, name, media_type, purpose, context, tags, metadata, created_at, accessed_at, expires_at,
    origin_source, origin_key, origin_digest, origin_provider, origin_file_id, origin_error)
select id, size, name, media_type, purpose, context, tags, metadata, coalesce(created_at, now()), accessed_at, expires_at,
    origin_source, origin_key, decode(origin_digest, 'hex'), origin_provider, origin_file_id, origin_error
from batch cross join (select count(*) from gone) as cleared
order by id
on conflict (id) do nothing
returning id`

// ImportFiles implements cas.FileIndex. A file without a creation time is created
// now.
func (x *Index) ImportFiles(ctx context.Context, files []cas.File) (stored []string, err error) {
	if len(files) == 0 {
		return nil, nil
	}
	doing := fmt.Sprintf("import %d files", len(files))
	rows := make([]importedFile, len(files))
	for i, f := range files {
		if err := f.CheckImport(); err != nil {
			return nil, fmt.Errorf("import file %.100q: %w", f.ID, err)
		}
		rows[i] = toImport(f)
	}
	batch, err := json.Marshal(rows)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	call, cancel := bounded(ctx)
	defer cancel()
	// An error of Query comes out of CollectRows.
	found, _ := x.pool.Query(call, sqlImportFiles, string(batch))
	stored, err = pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		return nil, fault(ctx, doing, err)
	}
	return stored, nil
}

// toImport is a file as sqlImportFiles reads it.
func toImport(f cas.File) importedFile {
	o := *f.Origin
	row := importedFile{
		ID: f.ID, Size: f.Size, Name: f.Name, MediaType: f.MediaType, Purpose: f.Purpose, Context: f.Context,
		Tags: append([]string{}, f.Tags...), Metadata: json.RawMessage(metadataText(f)),
		CreatedAt: nullIfZero(f.CreatedAt), AccessedAt: nullIfZero(f.AccessedAt), ExpiresAt: nullIfZero(f.ExpiresAt),
		OriginSource: o.Source, OriginKey: o.Key,
		OriginProvider: o.Provider, OriginFileID: o.ProviderFileID, OriginError: o.Error,
	}
	if !o.Digest.IsZero() {
		hex := o.Digest.Hex()
		row.OriginDigest = &hex
	}
	return row
}

// sqlResolveFile takes a blob of any size where $3 is null.
//
// The file is locked before the blob, as in DeleteFile; and both, or none, are
// written: a blob that is not visible once it is locked leaves nothing to resolve
// the file with.
const sqlResolveFile = `
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
    returning ` + fileFields + `
)
select ` + fileColumns + `, true as visible from resolved
union all
select ` + fileColumns + `, exists (select from blobs b where b.digest = $2 and b.state in ('live', 'suspect'))
from files f
where f.id = $1 and ` + aliveFile + ` and not exists (select from resolved)`

// ResolveFile implements cas.FileIndex.
func (x *Index) ResolveFile(ctx context.Context, id string, blob cas.Blob) (cas.File, error) {
	if !cas.IsFileID(id) {
		return cas.File{}, noFile("resolve", id)
	}
	call, cancel := bounded(ctx)
	defer cancel()
	for {
		var visible bool
		f, err := scanFile(x.pool.QueryRow(call, sqlResolveFile, id, blob.Digest[:], nil), &visible)
		switch {
		case err != nil:
			return cas.File{}, fileFault(ctx, "resolve", id, err)
		case !f.IsPending():
			return f, nil
		case !visible:
			return cas.File{}, fmt.Errorf("resolve file %s: blob %s: %w", id, blob.Digest.Short(), cas.ErrBlobNotFound)
		}
		// The file or the blob changed while the statement ran; now it is another matter.
	}
}

const sqlFailFile = `
update files f set origin_error = case when f.digest is null then $2 else f.origin_error end
where f.id = $1 and ` + aliveFile

// FailFile implements cas.FileIndex.
func (x *Index) FailFile(ctx context.Context, id, reason string) error {
	if !cas.IsFileID(id) {
		return noFile("note why there are no bytes of", id)
	}
	call, cancel := bounded(ctx)
	defer cancel()
	tag, err := x.pool.Exec(call, sqlFailFile, id, index.FileReason(reason))
	if err == nil && tag.RowsAffected() == 0 {
		err = pgx.ErrNoRows
	}
	if err != nil {
		return fileFault(ctx, "note why there are no bytes of", id, err)
	}
	return nil
}
