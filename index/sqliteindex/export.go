package sqliteindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
	exportedBlobTable = sqlrow.ExportedBlobs(sqlrow.SQLite)
	textTable         = sqlrow.Texts(sqlrow.SQLite)

	sqlExportFiles  = `select ` + fileTable.Select() + ` from files where id > ? order by id limit ?`
	sqlExportCopies = `
select ` + copyTable.Select() + ` from copies
where (digest, provider, account, purpose, extension) > (?1, ?2, ?3, ?4, ?5)
order by digest, provider, account, purpose, extension
limit ?6`
	sqlExportTexts = `
select ` + textTable.Select() + ` from extracted_texts
where (digest, provider, extension) > (?, ?, ?)
order by digest, provider, extension
limit ?`
	sqlExportBlobs = `select ` + exportedBlobTable.Select() + ` from blobs where digest > ? order by digest limit ?`
)

// ExportFiles implements export.Source.
func (x *Index) ExportFiles(ctx context.Context, after string, limit int) ([]cas.File, error) {
	return exported(ctx, x, "files", fileTable, sqlExportFiles, after, limit)
}

// ExportCopies implements export.Source.
func (x *Index) ExportCopies(ctx context.Context, after ledger.Key, limit int) ([]ledger.Copy, error) {
	return exported(ctx, x, "copies", copyTable, sqlExportCopies, keyArgs(after, limit)...)
}

// ExportTexts implements export.Source.
func (x *Index) ExportTexts(ctx context.Context, after ledger.TextKey, limit int) ([]export.Text, error) {
	return exported(ctx, x, "texts", textTable, sqlExportTexts, after.Digest[:], after.Provider, after.Extension, limit)
}

// ExportBlobs implements export.Source.
func (x *Index) ExportBlobs(ctx context.Context, after cas.Digest, limit int) ([]export.Blob, error) {
	return exported(ctx, x, "blobs", exportedBlobTable, sqlExportBlobs, after[:], limit)
}

func exported[R any](ctx context.Context, x *Index, kind string, table sqlrow.Table[R], query string, args ...any) ([]R, error) {
	rows, err := list(ctx, x, table, query, args...)
	if err != nil {
		return nil, fault(ctx, "export "+kind, err)
	}
	return rows, nil
}

var (
	sqlRestoreBlob = `
insert into blobs (` + exportedBlobTable.Names() + `, files)
values (` + exportedBlobTable.Placeholders(1) + `, (select count(*) from files where digest = ?1))
on conflict (digest) do nothing`
	// Columns: digest, size, media_type, name.
	sqlCompleteBlob = `
update blobs set
    name = coalesce(nullif(name, ''), ?4),
    media_type = coalesce(nullif(media_type, '` + cas.DefaultMediaType + `'), ?3)
where digest = ?1 and size = ?2 and state in ('live', 'suspect') and (
    name = '' and ?4 <> '' or
    media_type = '` + cas.DefaultMediaType + `' and ?3 <> '` + cas.DefaultMediaType + `')`
	sqlBlobDiffers = `select size <> ?2 from blobs where digest = ?1`

	// A blob without a row gets a tombstone, which counts its files.
	sqlCountRestored = `
insert into blobs (digest, size, media_type, name, generation, state, created_at, touched_at, files)
values (?1, ?2, '` + cas.DefaultMediaType + `', '', 0, 'gone', ?3, ?3, 1)
on conflict (digest) do update set files = files + 1`
	sqlFileDiffers = `select coalesce(digest <> ?2, 0) from files where id = ?1`

	sqlRestoreCopy = `
insert into copies (` + copyTable.Names() + `) values (` + copyTable.Placeholders(1) + `)
on conflict do nothing`
	sqlCopyDiffers = `select file_id <> ?6 from copies where ` + thisCopy

	sqlRestoreText = `
insert into extracted_texts (` + textTable.Names() + `) values (` + textTable.Placeholders(1) + `)
on conflict do nothing`
	sqlTextDiffers = `select text_digest <> ?4 from extracted_texts where digest = ?1 and provider = ?2 and extension = ?3`
)

// RestoreBlobs implements export.Target.
func (x *Index) RestoreBlobs(ctx context.Context, blobs []export.Blob) ([]export.Outcome, error) {
	return restored(ctx, x, "blobs", blobs, func(ctx context.Context, tx *sql.Tx, b export.Blob) (export.Outcome, error) {
		stored, err := changesRow(ctx, tx, sqlRestoreBlob, exportedBlobTable.Args(b))
		if err == nil && !stored {
			var completed bool
			if completed, err = changesRow(ctx, tx, sqlCompleteBlob, []any{b.Digest[:], b.Size, b.MediaType, b.Name}); completed {
				return export.Completed, nil
			}
		}
		if err != nil || stored {
			return export.Restored, err
		}
		return compared(ctx, tx, sqlBlobDiffers, b.Digest[:], b.Size)
	})
}

// RestoreFiles implements export.Target.
func (x *Index) RestoreFiles(ctx context.Context, files []cas.File) ([]export.Outcome, error) {
	for _, f := range files {
		if err := f.CheckRestored(); err != nil {
			return nil, fmt.Errorf("restore file %.100q: %w", f.ID, err)
		}
	}
	return restored(ctx, x, "files", files, func(ctx context.Context, tx *sql.Tx, f cas.File) (export.Outcome, error) {
		inserter := fileInserter{tx: tx}
		_, err := inserter.insert(ctx, f)
		if errors.Is(err, sql.ErrNoRows) {
			return compared(ctx, tx, sqlFileDiffers, f.ID, fileDigest(f))
		}
		if err == nil && !f.IsPending() {
			_, err = tx.ExecContext(ctx, sqlCountRestored, f.Digest[:], f.Size, now())
		}
		return export.Restored, err
	})
}

// fileDigest is the digest of a file as an argument.
func fileDigest(f cas.File) any {
	if f.IsPending() {
		return nil
	}
	return f.Digest[:]
}

// RestoreCopies implements export.Target.
func (x *Index) RestoreCopies(ctx context.Context, copies []ledger.Copy) ([]export.Outcome, error) {
	return restored(ctx, x, "copies", copies, func(ctx context.Context, tx *sql.Tx, c ledger.Copy) (export.Outcome, error) {
		stored, err := changesRow(ctx, tx, sqlRestoreCopy, copyTable.Args(c))
		if err != nil || stored {
			return export.Restored, err
		}
		return compared(ctx, tx, sqlCopyDiffers, keyArgs(c.Key, c.FileID)...)
	})
}

// RestoreTexts implements export.Target.
func (x *Index) RestoreTexts(ctx context.Context, texts []export.Text) ([]export.Outcome, error) {
	return restored(ctx, x, "texts", texts, func(ctx context.Context, tx *sql.Tx, t export.Text) (export.Outcome, error) {
		stored, err := changesRow(ctx, tx, sqlRestoreText, textTable.Args(t))
		if err != nil || stored {
			return export.Restored, err
		}
		return compared(ctx, tx, sqlTextDiffers, t.Digest[:], t.Provider, t.Extension, t.Text[:])
	})
}

// restored stores rows in one transaction.
func restored[R any](ctx context.Context, x *Index, kind string, rows []R, restore func(context.Context, *sql.Tx, R) (export.Outcome, error)) ([]export.Outcome, error) {
	outcomes := make([]export.Outcome, len(rows))
	err := x.write(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		for i, row := range rows {
			if outcomes[i], err = restore(ctx, tx, row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("restore %d %s", len(rows), kind), err)
	}
	return outcomes, nil
}

// changesRow reports whether a statement stored or changed its row.
func changesRow(ctx context.Context, tx *sql.Tx, statement string, args []any) (bool, error) {
	result, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// compared returns the outcome for a row that was there already. A query compares them.
func compared(ctx context.Context, tx *sql.Tx, query string, args ...any) (export.Outcome, error) {
	var differs bool
	if err := tx.QueryRowContext(ctx, query, args...).Scan(&differs); err != nil {
		return export.Kept, err
	}
	if differs {
		return export.Differs, nil
	}
	return export.Kept, nil
}
