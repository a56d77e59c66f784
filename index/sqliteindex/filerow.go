package sqliteindex

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"casgate/cas"
)

// aliveFile is the condition that a file has not expired by the time ?2.
const aliveFile = `(expires_at is null or expires_at > ?2)`

var (
	sqlInsertFile = `
insert into files (` + fileTable.Names() + `)
values (` + fileTable.Placeholders(1) + `)
on conflict (id) do nothing
returning ` + fileTable.Select()

	sqlInsertTerms = `insert into file_terms (term, created_at, file_id) select value, ?2, ?3 from json_each(?1)`
)

// fileInserter stores files in a transaction.
type fileInserter struct{ tx *sql.Tx }

// insert stores a file and its search terms, and returns the file as stored. The error
// is sql.ErrNoRows if there is a file with this id.
func (n fileInserter) insert(ctx context.Context, f cas.File) (cas.File, error) {
	object, err := decodeMetadata(f.Metadata)
	if err != nil {
		return cas.File{}, err
	}
	metadata, err := encodeMetadata(object)
	if err != nil {
		return cas.File{}, err
	}
	row := f
	row.Metadata = json.RawMessage(metadata)
	stored, err := fileTable.Scan(n.tx.QueryRowContext(ctx, sqlInsertFile, fileTable.Args(row)...))
	if err != nil {
		return cas.File{}, err
	}
	return stored, n.insertTerms(ctx, stored, fileTerms(f, object))
}

// insertTerms stores a file's search terms.
func (n fileInserter) insertTerms(ctx context.Context, f cas.File, terms []term) error {
	if len(terms) == 0 {
		return nil
	}
	list, err := json.Marshal(terms)
	if err != nil {
		return err
	}
	_, err = n.tx.ExecContext(ctx, sqlInsertTerms, string(list), toMicros(f.CreatedAt), f.ID)
	return err
}

var (
	sqlAliveFile   = `select ` + fileTable.Select() + ` from files where id = ?1 and ` + aliveFile
	sqlRemoveFile  = `delete from files where id = ?1 returning ` + fileTable.Select()
	sqlExpiredFile = `select id from files where id = ?1 and expires_at <= ?2`
	sqlCountFile   = `update blobs set files = files + 1 where digest = ?1`
	// sqlFreeFile begins the time of the retention, too.
	sqlFreeFile = `update blobs set files = files - 1, touched_at = max(touched_at, ?2) where digest = ?1`
)

// removeFile removes a file, and reduces the count of its blob. The error is
// sql.ErrNoRows if there is no such file.
func removeFile(ctx context.Context, tx *sql.Tx, id string) (cas.File, error) {
	f, err := fileTable.Scan(tx.QueryRowContext(ctx, sqlRemoveFile, id))
	if err != nil {
		return f, err
	}
	at := clock()
	isImport := f.Origin != nil && (f.ExpiresAt.IsZero() || f.ExpiresAt.After(at))
	if _, err := tx.ExecContext(ctx, sqlRememberFile, id, f.CreatedAt.UnixMicro(), at.UnixMicro(), isImport); err != nil || f.IsPending() {
		return f, err
	}
	_, err = tx.ExecContext(ctx, sqlFreeFile, f.Digest[:], at.UnixMicro())
	return f, err
}

// sqlRememberFile remembers where a deleted file stood in listings.
const sqlRememberFile = `insert or replace into deleted_files (id, created_at, deleted_at, is_import) values (?, ?, ?, ?)`

// sqlForgetFiles forgets where files stood that were deleted before a time. Those of imports are
// kept: they must not come back.
const sqlForgetFiles = `delete from deleted_files where is_import = 0 and deleted_at < ?`

// sqlFilePosition is the place of a file, which may be deleted.
const sqlFilePosition = `
select created_at from files where id = ?1
union all
select created_at from deleted_files where id = ?1
limit 1`

// FilePosition implements cas.FileIndex.
func (x *Index) FilePosition(ctx context.Context, id string) (cas.FileCursor, error) {
	call, cancel := bounded(ctx)
	defer cancel()
	var at int64
	if err := x.reader.QueryRowContext(call, sqlFilePosition, id).Scan(&at); err != nil {
		return cas.FileCursor{}, fileFault(ctx, "find the place of", id, err)
	}
	return cas.FileCursor{CreatedAt: time.UnixMicro(at).UTC(), ID: id}, nil
}

// replace is insert, but removes an expired file that has the id.
func (n fileInserter) replace(ctx context.Context, f cas.File, at int64) (cas.File, error) {
	stored, err := n.insert(ctx, f)
	if !errors.Is(err, sql.ErrNoRows) {
		return stored, err
	}
	var expired string
	if err := n.tx.QueryRowContext(ctx, sqlExpiredFile, f.ID, at).Scan(&expired); err != nil {
		return cas.File{}, err
	}
	if _, err := removeFile(ctx, n.tx, expired); err != nil {
		return cas.File{}, err
	}
	return n.insert(ctx, f)
}

// fileFault is fault for an operation on one file. It turns "no row" into
// cas.ErrFileNotFound. It keeps errors that are the caller's fault.
func fileFault(ctx context.Context, doing, id string, err error) error {
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return noFile(doing, id)
	case errors.Is(err, cas.ErrBlobNotFound), isRefusal(err):
		return fmt.Errorf("%s file %s: %w", doing, id, err)
	}
	return fault(ctx, doing+" file "+id, err)
}

// isRefusal reports whether an error says that a new file is refused, though its blob is
// there.
func isRefusal(err error) bool {
	for _, refusal := range []error{cas.ErrDuplicateFile, cas.ErrInvalidFile, cas.ErrKeyReused, cas.ErrFileNotFound} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// noFile returns the error for a file that doesn't exist.
func noFile(doing, id string) error {
	return fmt.Errorf("%s file %.100q: %w", doing, id, cas.ErrFileNotFound)
}

// visibleBlob returns a blob's row if readers may see it.
func visibleBlob(ctx context.Context, tx *sql.Tx, d cas.Digest) (cas.Blob, error) {
	b, err := blobTable.Scan(tx.QueryRowContext(ctx, sqlBlob, d[:]))
	if errors.Is(err, sql.ErrNoRows) {
		return cas.Blob{}, fmt.Errorf("blob %s: %w", d.Short(), cas.ErrBlobNotFound)
	}
	return b, err
}

// clock is the index's current time, in the precision of a column.
func clock() time.Time { return time.UnixMicro(now()).UTC() }
