package sqliteindex

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"casgate/cas"
	"casgate/index"
)

// ImportFiles implements cas.FileIndex. A file without a creation time gets the current
// time.
func (x *Index) ImportFiles(ctx context.Context, files []cas.File, o cas.ImportFilesOptions) (stored []string, err error) {
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
			if isDeleted, err := deletedImport(ctx, tx, f.ID, o); err != nil {
				return err
			} else if isDeleted {
				continue
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

const (
	sqlDeletedImport = `select exists (select 1 from deleted_files where id = ? and is_import = 1)`
	sqlForgetDelete  = `delete from deleted_files where id = ?`
)

// deletedImport reports whether a file was deleted that an import must leave so. Else it forgets
// that.
func deletedImport(ctx context.Context, tx *sql.Tx, id string, o cas.ImportFilesOptions) (is bool, err error) {
	if err := tx.QueryRowContext(ctx, sqlDeletedImport, id).Scan(&is); err != nil || !is || !o.WithDeleted {
		return is, err
	}
	_, err = tx.ExecContext(ctx, sqlForgetDelete, id)
	return false, err
}

const sqlKnownImports = `
select id from files where id in (select value from json_each(?1)) and ` + aliveFile + `
union
select id from deleted_files where id in (select value from json_each(?1)) and is_import = 1 and not ?3`

// KnownImports implements cas.FileIndex.
func (x *Index) KnownImports(ctx context.Context, ids []string, o cas.ImportFilesOptions) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	doing := fmt.Sprintf("look for %d imported files", len(ids))
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	scan := func(row scanner) (id string, err error) {
		err = row.Scan(&id)
		return id, err
	}
	known, err := collect(ctx, x, scan, sqlKnownImports, string(list), clock().UnixMicro(), o.WithDeleted)
	if err != nil {
		return nil, fault(ctx, doing, err)
	}
	return known, nil
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
	if _, err := tx.ExecContext(ctx, sqlCountFile, b.Digest[:]); err != nil {
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
