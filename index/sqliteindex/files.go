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

var sqlOldestFile = `
select ` + fileTable.Select() + ` from files
where digest = ?1 and ` + aliveFile + `
order by created_at, id
limit 1`

// CreateFile implements cas.FileIndex. It stores all fields of n but two: the creation
// time is the index's, and the size is the blob's.
func (x *Index) CreateFile(ctx context.Context, n cas.NewFile) (created cas.File, err error) {
	if err := n.File.Check(); err != nil {
		return cas.File{}, err
	}
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		created, err = fileOnce(ctx, tx, n)
		return err
	})
	if err != nil {
		return created, fileFault(ctx, "create", n.ID, err)
	}
	return created, nil
}

// fileOnce stores a file, or returns the existing file with its id.
func fileOnce(ctx context.Context, tx *sql.Tx, n cas.NewFile) (cas.File, error) {
	n.CreatedAt = clock()
	there, err := fileTable.Scan(tx.QueryRowContext(ctx, sqlAliveFile, n.ID, n.CreatedAt.UnixMicro()))
	if !errors.Is(err, sql.ErrNoRows) {
		return there, err
	}
	if n.Key == nil {
		return createFile(ctx, tx, n)
	}
	kept, found, err := findKept(ctx, tx, *n.Key, n.Digest)
	switch {
	case err != nil:
		return cas.File{}, err
	case found:
		file, err := fileTable.Scan(tx.QueryRowContext(ctx, sqlAliveFile, kept.fileID, n.CreatedAt.UnixMicro()))
		if errors.Is(err, sql.ErrNoRows) {
			err = noFile("return", kept.fileID)
		}
		return file, err
	}
	created, err := createFile(ctx, tx, n)
	if err != nil {
		return created, err
	}
	return created, keepKey(ctx, tx, *n.Key, n.Digest, keptUpload{fileID: created.ID})
}

// createFile stores a file with an unused id. If the error wraps cas.ErrDuplicateFile,
// it returns the other file.
func createFile(ctx context.Context, tx *sql.Tx, n cas.NewFile) (cas.File, error) {
	f := n.File
	at := f.CreatedAt.UnixMicro()
	blob, err := visibleBlob(ctx, tx, f.Digest)
	if err != nil {
		return cas.File{}, err
	}
	if !f.ExpiresAt.IsZero() && f.ExpiresAt.UnixMicro() <= at {
		return cas.File{}, &cas.InvalidField{Field: "expires_at", Problem: "is past"}
	}
	if n.Unique {
		other, err := fileTable.Scan(tx.QueryRowContext(ctx, sqlOldestFile, f.Digest[:], at))
		if err == nil {
			return other, fmt.Errorf("%w: %s has the same bytes", cas.ErrDuplicateFile, other.ID)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return cas.File{}, err
		}
	}
	if _, err := tx.ExecContext(ctx, sqlCountFile, f.Digest[:]); err != nil {
		return cas.File{}, err
	}
	f.Size = blob.Size
	files := fileInserter{tx: tx}
	return files.replace(ctx, f, at)
}

// File implements cas.FileIndex.
func (x *Index) File(ctx context.Context, id string) (cas.File, error) {
	call, cancel := bounded(ctx)
	defer cancel()
	f, err := fileTable.Scan(x.reader.QueryRowContext(call, sqlAliveFile, id, now()))
	if err != nil {
		return cas.File{}, fileFault(ctx, "look up", id, err)
	}
	return f, nil
}

// DeleteFile implements cas.FileIndex.
func (x *Index) DeleteFile(ctx context.Context, id string) (f cas.File, err error) {
	err = x.free(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err = fileTable.Scan(tx.QueryRowContext(ctx, sqlAliveFile, id, now())); err != nil {
			return err
		}
		f, err = removeFile(ctx, tx, id)
		return err
	})
	if err != nil {
		return cas.File{}, fileFault(ctx, "delete", id, err)
	}
	return f, nil
}

// ReleaseFile implements cas.FileIndex.
func (x *Index) ReleaseFile(ctx context.Context, id string) (f cas.File, condemned bool, err error) {
	err = x.free(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at := now()
		if _, err = fileTable.Scan(tx.QueryRowContext(ctx, sqlAliveFile, id, at)); err != nil {
			return err
		}
		if f, err = removeFile(ctx, tx, id); err != nil || f.IsPending() {
			return err
		}
		condemned, err = condemnUnused(ctx, tx, f.Digest, at)
		return err
	})
	if err != nil {
		return cas.File{}, false, fileFault(ctx, "release", id, err)
	}
	return f, condemned, nil
}

// condemnUnused condemns a blob that readers may see, if no file refers to it.
func condemnUnused(ctx context.Context, tx *sql.Tx, d cas.Digest, at int64) (condemned bool, err error) {
	_, err = blobTable.Scan(tx.QueryRowContext(ctx, sqlBlob, d[:]))
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	var used bool
	if err == nil {
		err = tx.QueryRowContext(ctx, sqlInUse, d[:], at).Scan(&used)
	}
	if err != nil || used {
		return false, err
	}
	_, err = tx.ExecContext(ctx, sqlCondemn, at, d[:])
	return err == nil, err
}

const sqlDueFiles = `select id from files where expires_at <= ? order by expires_at, id limit ?`

// ExpireFiles implements cas.FileIndex.
func (x *Index) ExpireFiles(ctx context.Context, limit int) (gone []cas.ExpiredFile, err error) {
	if limit < 1 {
		return nil, fmt.Errorf("expire files: a limit of %d; it must be at least 1", limit)
	}
	err = x.free(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at := now()
		gone = nil // of an earlier attempt
		if _, err := tx.ExecContext(ctx, sqlForgetFiles, at-(24*time.Hour).Microseconds()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, sqlForgetKeys, keysEnd(at)); err != nil {
			return err
		}
		due, err := rowsOf(ctx, tx, scanText, sqlDueFiles, at, limit)
		if err != nil {
			return err
		}
		for _, id := range due {
			f, err := removeFile(ctx, tx, id)
			if err != nil {
				return err
			}
			gone = append(gone, cas.ExpiredFile{File: f})
		}
		for i, f := range gone {
			if f.OnExpiry != cas.OnExpiryEverywhere || f.IsPending() {
				continue
			}
			if gone[i].Condemned, err = condemnUnused(ctx, tx, f.Digest, at); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("expire up to %d files", limit), err)
	}
	return gone, nil
}

// scanText reads a column of text.
func scanText(row scanner) (text string, err error) {
	err = row.Scan(&text)
	return text, err
}

const sqlTouchFiles = `
update files set accessed_at = r.value
from json_each(?1) as r
where files.id = r.key and ` + aliveFile + ` and (accessed_at is null or accessed_at < r.value)`

// TouchFiles implements cas.FileIndex.
func (x *Index) TouchFiles(ctx context.Context, read map[string]time.Time) error {
	if len(read) == 0 {
		return nil
	}
	err := x.exec(ctx, sqlTouchFiles, timesByID(read), now())
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fault(ctx, fmt.Sprintf("record when %d files were read", len(read)), err)
	}
	return nil
}

const sqlProlongFiles = `
update files set expires_at = p.value
from json_each(?1) as p
where files.id = p.key and ` + aliveFile + ` and expires_at < p.value`

// ProlongFiles implements cas.FileIndex.
func (x *Index) ProlongFiles(ctx context.Context, until map[string]time.Time) error {
	if len(until) == 0 {
		return nil
	}
	err := x.exec(ctx, sqlProlongFiles, timesByID(until), now())
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fault(ctx, fmt.Sprintf("prolong %d files", len(until)), err)
	}
	return nil
}

// timesByID returns the ids that files can have, with their times, as a JSON object.
func timesByID(all map[string]time.Time) string {
	times := make(map[string]int64, len(all))
	for id, at := range all {
		if cas.IsFileID(id) {
			times[id] = at.UnixMicro()
		}
	}
	text, err := json.Marshal(times)
	if err != nil {
		panic(err) // a map of numbers can be marshalled
	}
	return string(text)
}
