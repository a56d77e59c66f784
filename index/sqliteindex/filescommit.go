package sqliteindex

import (
	"context"
	"database/sql"
	"errors"

	"casgate/cas"
)

// CommitFile implements cas.FileIndex.
func (x *Index) CommitFile(ctx context.Context, b cas.Blob, f cas.File, unique bool) (row cas.Blob, created bool, file cas.File, err error) {
	f.Digest = b.Digest
	refused := f.Check()
	row, created, err = x.commitWith(ctx, b, func(ctx context.Context, tx *sql.Tx) error {
		if refused != nil {
			return nil
		}
		file, err = fileOnce(ctx, tx, f, unique)
		if errors.Is(err, cas.ErrDuplicateFile) || errors.Is(err, cas.ErrInvalidFile) {
			refused, err = err, nil
		}
		return err
	})
	switch {
	case err != nil:
		return cas.Blob{}, false, cas.File{}, err
	case refused != nil:
		err = fileFault(ctx, "create", f.ID, refused)
	}
	return row, created, file, err
}

// CommitResolved implements cas.FileIndex.
func (x *Index) CommitResolved(ctx context.Context, b cas.Blob, id string) (row cas.Blob, created bool, file cas.File, err error) {
	var refused error
	row, created, err = x.commitWith(ctx, b, func(ctx context.Context, tx *sql.Tx) error {
		file, err = resolve(ctx, tx, id, b.Digest)
		if errors.Is(err, sql.ErrNoRows) {
			refused, err = err, nil
		}
		return err
	})
	switch {
	case err != nil:
		return cas.Blob{}, false, cas.File{}, err
	case refused != nil:
		err = fileFault(ctx, "resolve", id, refused)
	}
	return row, created, file, err
}

// commitWith commits a blob. If the row is then live and has the blob's size, it calls
// do in the same transaction.
func (x *Index) commitWith(ctx context.Context, b cas.Blob, do func(ctx context.Context, tx *sql.Tx) error) (row cas.Blob, created bool, err error) {
	if err := b.Check(); err != nil {
		return cas.Blob{}, false, err
	}
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		row, created, err = commit(ctx, tx, b)
		if err != nil || row.State != cas.StateLive || row.Size != b.Size {
			return err
		}
		return do(ctx, tx)
	})
	if err != nil {
		return cas.Blob{}, false, blobFault(ctx, "commit", b.Digest, err)
	}
	return row, created, nil
}
