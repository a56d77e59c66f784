package pgindex

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
)

// CommitFile implements cas.FileIndex. The two statements are sent together, and are
// one implicit transaction, as all statements up to a Sync are.
func (x *Index) CommitFile(ctx context.Context, b cas.Blob, f cas.File, unique bool) (row cas.Blob, created bool, file cas.File, err error) {
	f.Digest = b.Digest
	if b.Check() != nil || f.Check() != nil {
		return x.commitThenCreate(ctx, b, f, unique)
	}
	call, cancel := bounded(ctx)
	defer cancel()
	var both pgx.Batch
	both.Queue(sqlCommit, commitArgs(b)...).QueryRow(func(answer pgx.Row) error {
		row, err = blobTable.Scan(answer, &created)
		return err
	})
	var other bool
	both.Queue(sqlCreateFile, createArgs(f, unique)...).QueryRow(func(answer pgx.Row) error {
		file, err = fileTable.Scan(answer, &other)
		return err
	})
	err = x.pool.SendBatch(call, &both).Close()
	switch {
	case isTaken(err): // neither was done
		return x.commitThenCreate(ctx, b, f, unique)
	case errors.Is(err, pgx.ErrNoRows) && row.State == cas.StateLive && row.Size == b.Size: // it is refused, or the blob changed meanwhile
		file, err = x.CreateFile(ctx, f, unique)
		return row, created, file, err
	case errors.Is(err, pgx.ErrNoRows):
		return row, created, cas.File{}, nil
	case err != nil:
		return cas.Blob{}, false, cas.File{}, blobFault(ctx, "commit", b.Digest, err)
	case row.Size != b.Size:
		// The database is broken, and the file was created with the wrong size. No caller
		// knows the file yet.
		if !other {
			_, err = x.DeleteFile(ctx, file.ID)
		}
		return row, created, cas.File{}, err
	case other:
		return row, created, file, duplicate(f.ID, file)
	}
	return row, created, file, nil
}

// sqlLockPending locks a file before its blob, as all statements do that lock both.
const sqlLockPending = `select from files f where f.id = $1 and f.digest is null for update`

// CommitResolved implements cas.FileIndex. It sends the statements together, as
// CommitFile does.
func (x *Index) CommitResolved(ctx context.Context, b cas.Blob, id string) (row cas.Blob, created bool, file cas.File, err error) {
	if b.Check() != nil || !cas.IsFileID(id) {
		return x.commitThenResolve(ctx, b, id)
	}
	call, cancel := bounded(ctx)
	defer cancel()
	var all pgx.Batch
	all.Queue(sqlLockPending, id)
	all.Queue(sqlCommit, commitArgs(b)...).QueryRow(func(answer pgx.Row) error {
		row, err = blobTable.Scan(answer, &created)
		return err
	})
	var visible bool
	all.Queue(sqlResolveFile, id, b.Digest[:], b.Size).QueryRow(func(answer pgx.Row) error {
		file, err = fileTable.Scan(answer, &visible)
		return err
	})
	err = x.pool.SendBatch(call, &all).Close()
	switch {
	case err != nil && !errors.Is(err, pgx.ErrNoRows):
		return cas.Blob{}, false, cas.File{}, blobFault(ctx, "commit", b.Digest, err)
	case row.Digest != b.Digest:
		return cas.Blob{}, false, cas.File{}, blobFault(ctx, "commit", b.Digest, err)
	case row.State != cas.StateLive || row.Size != b.Size:
		return row, created, cas.File{}, nil
	case err != nil:
		return row, created, cas.File{}, fileFault(ctx, "resolve", id, err)
	case file.IsPending(): // it changed while the statements ran
		file, err = x.ResolveFile(ctx, id, row)
	}
	return row, created, file, err
}

// commitThenResolve is CommitResolved with one statement after the other.
func (x *Index) commitThenResolve(ctx context.Context, b cas.Blob, id string) (row cas.Blob, created bool, file cas.File, err error) {
	if row, created, err = x.Commit(ctx, b); err != nil || row.State != cas.StateLive || row.Size != b.Size {
		return row, created, cas.File{}, err
	}
	file, err = x.ResolveFile(ctx, id, row)
	return row, created, file, err
}

// commitThenCreate is CommitFile with one statement after the other.
func (x *Index) commitThenCreate(ctx context.Context, b cas.Blob, f cas.File, unique bool) (row cas.Blob, created bool, file cas.File, err error) {
	if row, created, err = x.Commit(ctx, b); err != nil || row.State != cas.StateLive || row.Size != b.Size {
		return row, created, cas.File{}, err
	}
	file, err = x.CreateFile(ctx, f, unique)
	return row, created, file, err
}

// duplicate is the error if another file has the same bytes.
func duplicate(id string, other cas.File) error {
	return fmt.Errorf("create file %s: %w: %s has the same bytes", id, cas.ErrDuplicateFile, other.ID)
}

func commitArgs(b cas.Blob) []any {
	return []any{b.Digest[:], b.Size, b.MediaType, b.Name, b.Generation, int64(rand.Uint64())}
}
