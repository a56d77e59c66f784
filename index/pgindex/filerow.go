package pgindex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
)

const (
	// fileColumns is what scanFile reads.
	fileColumns = `id, digest, size, name, media_type, purpose, context, tags, metadata::text,
    created_at, accessed_at, expires_at,
    origin_source, origin_key, origin_digest, origin_provider, origin_file_id, origin_error`

	// fileFields are the same of the row "f", for inner queries.
	fileFields = `f.id, f.digest, f.size, f.name, f.media_type, f.purpose, f.context, f.tags, f.metadata,
        f.created_at, f.accessed_at, f.expires_at,
        f.origin_source, f.origin_key, f.origin_digest, f.origin_provider, f.origin_file_id, f.origin_error`

	// aliveFile is the condition that the row "f" has not expired.
	aliveFile = `(f.expires_at is null or f.expires_at > now())`
)

// scanFile reads fileColumns, and into more what comes after them.
func scanFile(row pgx.Row, more ...any) (cas.File, error) {
	var f cas.File
	var origin cas.Origin
	var source *string
	var metadata string
	var digest, originDigest []byte
	var accessed, expires *time.Time
	into := append([]any{
		&f.ID, &digest, &f.Size, &f.Name, &f.MediaType, &f.Purpose, &f.Context, &f.Tags, &metadata,
		&f.CreatedAt, &accessed, &expires,
		&source, &origin.Key, &originDigest, &origin.Provider, &origin.ProviderFileID, &origin.Error,
	}, more...)
	if err := row.Scan(into...); err != nil {
		return cas.File{}, err
	}
	f.CreatedAt = f.CreatedAt.UTC()
	f.AccessedAt, f.ExpiresAt = timeOrZero(accessed), timeOrZero(expires)
	f.Metadata = json.RawMessage(metadata)
	if len(f.Tags) == 0 {
		f.Tags = nil
	}
	if source != nil {
		origin.Source = *source
		f.Origin = &origin
	}
	return f, errors.Join(scanDigest(&f.Digest, digest), scanDigest(&origin.Digest, originDigest))
}

// scanDigest leaves the digest zero where the column is null.
func scanDigest(into *cas.Digest, column []byte) error {
	if column == nil {
		return nil
	}
	return into.Scan(column)
}

// nullIfNoDigest is the inverse of scanDigest.
func nullIfNoDigest(d cas.Digest) []byte {
	if d.IsZero() {
		return nil
	}
	return d[:]
}

// metadataText is a file's metadata, of which empty means {}.
func metadataText(f cas.File) string {
	if len(f.Metadata) == 0 {
		return "{}"
	}
	return string(f.Metadata)
}

// files reads all rows of a query.
func (x *Index) files(ctx context.Context, query string, args ...any) ([]cas.File, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	// An error of Query comes out of CollectRows.
	rows, _ := x.pool.Query(ctx, query, args...)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (cas.File, error) { return scanFile(row) })
}

// fileFault is fault for an operation on one file, and turns "no row" into
// cas.ErrFileNotFound.
func fileFault(ctx context.Context, doing, id string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return noFile(doing, id)
	}
	return fault(ctx, doing+" file "+id, err)
}

// noFile says that there is no such row.
func noFile(doing, id string) error {
	return fmt.Errorf("%s file %.100q: %w", doing, id, cas.ErrFileNotFound)
}
