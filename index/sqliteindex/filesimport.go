package sqliteindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"casgate/cas"
	"casgate/index"
)

// ImportFiles implements cas.FileIndex. A file without a creation time gets the current
// time.
func (x *Index) ImportFiles(ctx context.Context, files []cas.File) (stored []string, err error) {
	if len(files) == 0 {
		return nil, nil
	}
	for _, f := range files {
		if err := f.CheckImport(); err != nil {
			return nil, fmt.Errorf("import file %.100q: %w", f.ID, err)
		}
	}
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at := clock()
		inserter := fileInserter{tx: tx}
		for _, f := range files {
			if f.CreatedAt.IsZero() {
				f.CreatedAt = at
			}
			_, err := inserter.replace(ctx, f, at.UnixMicro())
			if errors.Is(err, sql.ErrNoRows) {
				continue // it is there already
			}
			if err != nil {
				return err
			}
			stored = append(stored, f.ID)
		}
		return nil
	})
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("import %d files", len(files)), err)
	}
	return stored, nil
}

var sqlResolveFile = `
update files set
    digest = ?2, size = ?3, origin_error = '', media_type = case media_type when '' then ?4 else media_type end
where id = ?1
returning ` + fileTable.Select()

// ResolveFile implements cas.FileIndex.
func (x *Index) ResolveFile(ctx context.Context, id string, blob cas.Blob) (f cas.File, err error) {
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		f, err = resolve(ctx, tx, id, blob.Digest)
		return err
	})
	if err != nil {
		return cas.File{}, fileFault(ctx, "resolve", id, err)
	}
	return f, nil
}

// resolve gives a pending file its blob, which must be visible.
func resolve(ctx context.Context, tx *sql.Tx, id string, d cas.Digest) (cas.File, error) {
	f, err := fileTable.Scan(tx.QueryRowContext(ctx, sqlAliveFile, id, now()))
	if err != nil || !f.IsPending() {
		return f, err
	}
	b, err := visibleBlob(ctx, tx, d)
	if err != nil {
		return cas.File{}, err
	}
	if _, err := tx.ExecContext(ctx, sqlCountFile, b.Digest[:], 1); err != nil {
		return cas.File{}, err
	}
	return fileTable.Scan(tx.QueryRowContext(ctx, sqlResolveFile, id, b.Digest[:], b.Size, b.MediaType))
}

const sqlFailFile = `
update files set origin_error = case when digest is null then ?3 else origin_error end
where id = ?1 and ` + aliveFile

// FailFile implements cas.FileIndex.
func (x *Index) FailFile(ctx context.Context, id, reason string) error {
	if err := x.exec(ctx, sqlFailFile, id, now(), index.FileReason(reason)); err != nil {
		return fileFault(ctx, "record the import error of", id, err)
	}
	return nil
}
