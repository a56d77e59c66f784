package sqliteindex

import (
	"context"
	"database/sql"
	"errors"

	"casgate/cas"
	"casgate/index"
)

// CommitFile implements cas.FileIndex.
func (x *Index) CommitFile(ctx context.Context, b cas.Blob, f cas.File, unique bool) (row cas.Blob, created bool, file cas.File, err error) {
	if err := index.CheckBlob(b); err != nil {
		return cas.Blob{}, false, cas.File{}, err
	}
	f.Digest = b.Digest
	refused := index.CheckNewFile(f)
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		row, created, err = commit(ctx, tx, b)
		if err != nil || row.State != cas.StateLive || row.Size != b.Size || refused != nil {
			return err
		}
		file, err = fileOnce(ctx, tx, f, unique)
		if errors.Is(err, cas.ErrDuplicateFile) || errors.Is(err, cas.ErrInvalidFile) {
			refused = err
			return nil
		}
		return err
	})
	if err != nil {
		return cas.Blob{}, false, cas.File{}, blobFault(ctx, "commit", b.Digest, err)
	}
	if refused != nil {
		return row, created, file, fileFault(ctx, "create", f.ID, refused)
	}
	return row, created, file, nil
}

// CommitResolved implements cas.FileIndex.
func (x *Index) CommitResolved(ctx context.Context, b cas.Blob, id string) (row cas.Blob, created bool, file cas.File, err error) {
	if err := index.CheckBlob(b); err != nil {
		return cas.Blob{}, false, cas.File{}, err
	}
	var refused error
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		row, created, err = commit(ctx, tx, b)
		if err != nil || row.State != cas.StateLive || row.Size != b.Size {
			return err
		}
		file, err = resolve(ctx, tx, id, b.Digest)
		if errors.Is(err, sql.ErrNoRows) {
			refused = err
			return nil
		}
		return err
	})
	if err != nil {
		return cas.Blob{}, false, cas.File{}, blobFault(ctx, "commit", b.Digest, err)
	}
	if refused != nil {
		return row, created, cas.File{}, fileFault(ctx, "resolve", id, refused)
	}
	return row, created, file, nil
}
