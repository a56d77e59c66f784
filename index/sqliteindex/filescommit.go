package sqliteindex

import (
	"context"
	"database/sql"
	"errors"

	"casgate/cas"
)

// CommitFile implements cas.FileIndex.
func (x *Index) CommitFile(ctx context.Context, b cas.Blob, n cas.NewFile) (done cas.FileCommit, err error) {
	n.Digest = b.Digest
	refused := n.File.Check()
	done.Row, done.Created, err = x.commitWith(ctx, b, func(ctx context.Context, tx *sql.Tx) error {
		if refused != nil {
			return nil
		}
		done.File, err = fileOnce(ctx, tx, n)
		if isRefusal(err) {
			refused, err = err, nil
		}
		return err
	})
	switch {
	case err != nil:
		return cas.FileCommit{}, err
	case refused != nil:
		err = fileFault(ctx, "create", n.ID, refused)
	}
	return done, err
}

// CommitResolved implements cas.FileIndex.
func (x *Index) CommitResolved(ctx context.Context, b cas.Blob, id string) (done cas.FileCommit, err error) {
	var refused error
	done.Row, done.Created, err = x.commitWith(ctx, b, func(ctx context.Context, tx *sql.Tx) error {
		done.File, err = resolve(ctx, tx, id, b.Digest)
		if errors.Is(err, sql.ErrNoRows) {
			refused, err = err, nil
		}
		return err
	})
	switch {
	case err != nil:
		return cas.FileCommit{}, err
	case refused != nil:
		err = fileFault(ctx, "resolve", id, refused)
	}
	return done, err
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
