package pgindex

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"casgate/cas"
)

// unused is the condition that no file refers to the blob "b". It is reliable only if
// the blob is locked. The row's number of files includes expired files that are not
// removed yet. "seen" tells whether it includes others, as of the statement's
// snapshot: that is still true if the row wasn't written since.
const unused = `(b.files = 0 or (not s.used and b.xmin = s.version))`

// seenBlob is the row of the blob $1 in the statement's snapshot, if readers may see
// it, and whether files refer to it. It looks for files only if $3 is true.
const seenBlob = `
    select b.digest, b.xmin as version,
        $3::boolean and b.files > 0 and exists (select from files f where f.digest = b.digest and ` + aliveFile + `) as used
    from blobs b
    where b.digest = $1 and b.state in ('live', 'suspect')`

// newFile has the columns of a new file that sqlCreateFile only passes on. The database
// sets the creation time.
var newFile = fileTable.Without("id", "digest", "size", "created_at", "expires_at")

// An idempotency key that exists makes the statement fail, and nothing is inserted.
//
// The blob's row comes first: either it is locked and counts the file, or it can't have
// files, and then nothing is inserted. Of several concurrent first references, exactly
// one wins: unused is evaluated again for the row's newest version.
var sqlCreateFile = `
with mine as materialized (
    select ` + fileTable.NamesOf("f") + ` from files f where f.id = $2 and ` + aliveFile + `
), seen as materialized (` + seenBlob + `
), used as (
    update blobs b set files = b.files + 1
    from seen s
    where b.digest = s.digest and b.state in ('live', 'suspect')
      and not exists (select from mine)
      and ($4::timestamptz is null or $4 > now())
      and (not $3 or ` + unused + `)
    returning b.size
), made as (
    insert into files as f (digest, id, expires_at, size, ` + newFile.Names() + `)
    select $1, $2, $4, used.size, ` + newFile.Placeholders(7) + `
    from used
    returning ` + fileTable.NamesOf("f") + `
), kept as (
    insert into idempotency_keys (id, request, digest, file_id, stored)
    select $5::bytea, $6::bytea, $1, made.id, false
    from made
    where $5::bytea is not null
), other as (
    select ` + fileTable.NamesOf("f") + ` from files f
    where $3 and f.digest = (select digest from seen) and ` + aliveFile + ` and not exists (select from mine)
    order by f.created_at, f.id
    limit 1
)
select ` + fileTable.Select() + `, false as other from mine
union all
select ` + fileTable.Select() + `, false from made
union all
select ` + fileTable.Select() + `, true from other`

// sqlRefusal returns why a file could not be created.
const sqlRefusal = `
select exists (select from blobs where digest = $1 and state in ('live', 'suspect')), coalesce($2::timestamptz <= now(), false)`

// CreateFile implements cas.FileIndex. It stores all fields of n but two: the creation
// time is the index's, and the size is the blob's.
func (x *Index) CreateFile(ctx context.Context, n cas.NewFile) (cas.File, error) {
	f := n.File
	if err := f.Check(); err != nil {
		return cas.File{}, err
	}
	doing := "create file " + f.ID
	call, cancel := x.bounded(ctx)
	defer cancel()
	for {
		if kept, found, err := x.keptFile(call, n); err != nil || found {
			return kept, keyFault(ctx, doing, err)
		}
		var other bool
		created, err := fileTable.Scan(x.pool.QueryRow(call, sqlCreateFile, createArgs(n)...), &other)
		switch {
		case err == nil && other:
			return x.refuseDuplicate(call, n, created)
		case err == nil:
			return created, nil
		case isTaken(err):
			// The id belongs to an expired file, or to one that was created just now. Or the key
			// was recorded just now, or it is one that doesn't count any more.
			if err := x.clear(call, n); err != nil {
				return cas.File{}, fault(ctx, doing, err)
			}
			continue
		case !errors.Is(err, pgx.ErrNoRows):
			return cas.File{}, fault(ctx, doing, err)
		}
		var visible, late bool
		if err := x.pool.QueryRow(call, sqlRefusal, f.Digest[:], nullIfZero(f.ExpiresAt)).Scan(&visible, &late); err != nil {
			return cas.File{}, fault(ctx, doing, err)
		}
		switch {
		case !visible:
			return cas.File{}, fmt.Errorf("%s: blob %s: %w", doing, f.Digest.Short(), cas.ErrBlobNotFound)
		case late:
			return cas.File{}, &cas.InvalidField{Field: "expires_at", Problem: "is past"}
		}
		// The blob changed while the statement ran, so the next attempt may succeed.
	}
}

// createArgs are the arguments of sqlCreateFile.
func createArgs(n cas.NewFile) []any {
	var key, request []byte
	if n.Key != nil {
		key, request = n.Key.ID[:], n.Key.Request[:]
	}
	return newFile.Args(n.File, n.Digest[:], n.ID, n.Unique, nullIfZero(n.ExpiresAt), key, request)
}

// refuseDuplicate returns the error for bytes that another file has, unless an upload of
// the same request has created that file meanwhile.
func (x *Index) refuseDuplicate(ctx context.Context, n cas.NewFile, other cas.File) (cas.File, error) {
	if kept, found, err := x.keptFile(ctx, n); err != nil || found {
		return kept, keyFault(ctx, "create file "+n.ID, err)
	}
	return other, fmt.Errorf("create file %s: %w: %s has the same bytes", n.ID, cas.ErrDuplicateFile, other.ID)
}

// clear removes the rows that a new file can replace: an expired file with its id, and an
// idempotency key that doesn't count any more.
func (x *Index) clear(ctx context.Context, n cas.NewFile) error {
	if _, err := x.pool.Exec(ctx, sqlClearFile, n.ID); err != nil && !isTaken(err) {
		return err
	}
	if n.Key == nil {
		return nil
	}
	_, err := x.pool.Exec(ctx, sqlForgetKey, n.Key.ID[:])
	return err
}

// isTaken reports whether the id or the key of a new file belongs to an existing row, or to
// a row that is being removed by a transaction that waits for this one.
func isTaken(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pgErr.Code == codeUniqueViolation || pgErr.Code == codeDeadlock)
}

// sqlClearFile removes the file with this id if it has expired, so that the id can be
// used again.
var sqlClearFile = `
with due as materialized (
    select f.id, f.digest, false as everywhere from files f where f.id = $1 and f.expires_at <= now() for update
), ` + freeFiles + `select from gone`

var sqlFile = `select ` + fileTable.Select() + ` from files f where f.id = $1 and ` + aliveFile

// File implements cas.FileIndex.
func (x *Index) File(ctx context.Context, id string) (cas.File, error) {
	if !cas.IsFileID(id) {
		return cas.File{}, noFile("look up", id)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	f, err := fileTable.Scan(x.pool.QueryRow(call, sqlFile, id))
	if err != nil {
		return cas.File{}, fileFault(ctx, "look up", id, err)
	}
	return f, nil
}

// Every statement that changes a file and its blob locks the file first, so that no two
// of them deadlock.
var sqlDeleteFile = `
with due as materialized (
    select f.id, f.digest, false as everywhere from files f where f.id = $1 and ` + aliveFile + ` for update
), ` + freeFiles + `select ` + fileTable.Select() + `, pg_notify('` + filesChannel + `', encode(sha256(convert_to(gone.id, 'UTF8')), 'hex'))::text from gone`

// deleteFile removes a file. If sqlDeleteFile skips the file, see freeFiles, it tries
// again.
func deleteFile(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, id string) (cas.File, error) {
	for {
		f, err := fileTable.Scan(db.QueryRow(ctx, sqlDeleteFile, id), nil)
		if !errors.Is(err, pgx.ErrNoRows) {
			return f, err
		}
		if _, err := fileTable.Scan(db.QueryRow(ctx, sqlFile, id)); err != nil {
			return cas.File{}, err
		}
	}
}

// DeleteFile implements cas.FileIndex.
func (x *Index) DeleteFile(ctx context.Context, id string) (cas.File, error) {
	if !cas.IsFileID(id) {
		return cas.File{}, noFile("delete", id)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	f, err := deleteFile(call, x.pool, id)
	if err != nil {
		return cas.File{}, fileFault(ctx, "delete", id, err)
	}
	return f, nil
}

// ReleaseFile implements cas.FileIndex. The first statement locks the blob's row. So the
// second one sees every file that was created before, and no file is created until
// both are committed.
func (x *Index) ReleaseFile(ctx context.Context, id string) (f cas.File, condemned bool, err error) {
	if !cas.IsFileID(id) {
		return cas.File{}, false, noFile("release", id)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	err = pgx.BeginFunc(call, x.pool, func(tx pgx.Tx) error {
		condemned = false
		if f, err = deleteFile(call, tx, id); err != nil || f.IsPending() {
			return err
		}
		var outcome string
		err := tx.QueryRow(call, sqlCondemn, f.Digest[:], channel, true).Scan(&outcome, nil)
		condemned = outcome == "condemned"
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // no reader sees it anyway
		}
		return err
	})
	if err != nil {
		return cas.File{}, false, fileFault(ctx, "release", id, err)
	}
	return f, condemned, nil
}
