package pgindex

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
)

// CommitFile implements cas.FileIndex. The two statements are sent together, and are
// one implicit transaction, as all statements up to a Sync are.
func (x *Index) CommitFile(ctx context.Context, b cas.Blob, n cas.NewFile) (done cas.FileCommit, err error) {
	n.Digest = b.Digest
	if b.Check() != nil || n.File.Check() != nil {
		return x.commitThenCreate(ctx, b, n)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	var both pgx.Batch
	both.Queue(sqlCommit, commitArgs(b)...).QueryRow(func(answer pgx.Row) error {
		done.Row, err = blobTable.Scan(answer, &done.Created)
		return err
	})
	var other bool
	both.Queue(sqlCreateFile, createArgs(n)...).QueryRow(func(answer pgx.Row) error {
		done.File, err = fileTable.Scan(answer, &other)
		return err
	})
	err = x.pool.SendBatch(call, &both).Close()
	switch {
	case isTaken(err): // neither was done
		return x.commitThenCreate(ctx, b, n)
	case errors.Is(err, pgx.ErrNoRows) && done.Row.State == cas.StateLive && done.Row.Size == b.Size: // it is refused, or the blob changed meanwhile
		done.File, err = x.CreateFile(ctx, n)
		return done, err
	case errors.Is(err, pgx.ErrNoRows):
		return cas.FileCommit{Row: done.Row, Created: done.Created}, nil
	case err != nil:
		return cas.FileCommit{}, blobFault(ctx, "commit", b.Digest, err)
	case done.Row.Size != b.Size:
		// The database is broken, and the file was created with the wrong size. No caller
		// knows the file yet.
		if !other {
			_, err = x.DeleteFile(ctx, done.File.ID)
		}
		if err == nil && n.Key != nil {
			_, err = x.pool.Exec(call, sqlDropKey, n.Key.ID[:], n.ID)
		}
		return cas.FileCommit{Row: done.Row, Created: done.Created}, err
	case other:
		done.File, err = x.refuseDuplicate(call, n, done.File)
		return done, err
	}
	return done, nil
}

// sqlLockPending locks a file before its blob, as all statements do that lock both.
const sqlLockPending = `select from files f where f.id = $1 and f.digest is null for update`

// CommitResolved implements cas.FileIndex. It sends the statements together, as
// CommitFile does.
func (x *Index) CommitResolved(ctx context.Context, b cas.Blob, id string) (done cas.FileCommit, err error) {
	if b.Check() != nil || !cas.IsFileID(id) {
		return x.commitThenResolve(ctx, b, id)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	var all pgx.Batch
	all.Queue(sqlLockPending, id)
	all.Queue(sqlCommit, commitArgs(b)...).QueryRow(func(answer pgx.Row) error {
		done.Row, err = blobTable.Scan(answer, &done.Created)
		return err
	})
	var visible bool
	all.Queue(sqlResolveFile, id, b.Digest[:], b.Size).QueryRow(func(answer pgx.Row) error {
		done.File, err = fileTable.Scan(answer, &visible)
		return err
	})
	err = x.pool.SendBatch(call, &all).Close()
	switch {
	case err != nil && !errors.Is(err, pgx.ErrNoRows):
		return cas.FileCommit{}, blobFault(ctx, "commit", b.Digest, err)
	case done.Row.Digest != b.Digest:
		return cas.FileCommit{}, blobFault(ctx, "commit", b.Digest, err)
	case done.Row.State != cas.StateLive || done.Row.Size != b.Size:
		return cas.FileCommit{Row: done.Row, Created: done.Created}, nil
	case err != nil:
		return cas.FileCommit{Row: done.Row, Created: done.Created}, fileFault(ctx, "resolve", id, err)
	case done.File.IsPending(): // it changed while the statements ran
		done.File, err = x.ResolveFile(ctx, id, done.Row)
	}
	return done, err
}

// commitThenResolve is CommitResolved with one statement after the other.
func (x *Index) commitThenResolve(ctx context.Context, b cas.Blob, id string) (done cas.FileCommit, err error) {
	if done.Row, done.Created, err = x.Commit(ctx, b); err != nil || done.Row.State != cas.StateLive || done.Row.Size != b.Size {
		return done, err
	}
	done.File, err = x.ResolveFile(ctx, id, done.Row)
	return done, err
}

// commitThenCreate is CommitFile with one statement after the other.
func (x *Index) commitThenCreate(ctx context.Context, b cas.Blob, n cas.NewFile) (done cas.FileCommit, err error) {
	if done.Row, done.Created, err = x.Commit(ctx, b); err != nil || done.Row.State != cas.StateLive || done.Row.Size != b.Size {
		return done, err
	}
	done.File, err = x.CreateFile(ctx, n)
	return done, err
}

func commitArgs(b cas.Blob) []any {
	return []any{b.Digest[:], b.Size, b.MediaType, b.Name, b.Generation, int64(rand.Uint64())}
}
