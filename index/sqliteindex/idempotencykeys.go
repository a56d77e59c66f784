package sqliteindex

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"

	"casgate/cas"
)

// A key with a creation time up to ?2 doesn't count any more.
const (
	sqlKey        = `select request, digest, coalesce(file_id, ''), stored from idempotency_keys where id = ?1 and created_at > ?2`
	sqlKeepKey    = `insert or replace into idempotency_keys (id, request, digest, file_id, stored, created_at) values (?, ?, ?, ?, ?, ?)`
	sqlForgetKeys = `delete from idempotency_keys where created_at <= ?`
)

// keysEnd is the latest creation time of keys that don't count any more at a time.
func keysEnd(at int64) int64 { return at - cas.IdempotencyKeyLife.Microseconds() }

// keptUpload is an upload that used an idempotency key.
type keptUpload struct {
	fileID string // empty: it created no file
	stored bool
}

// keepKey records an idempotency key.
func keepKey(ctx context.Context, tx *sql.Tx, key cas.IdempotencyKey, d cas.Digest, u keptUpload) error {
	fileID := sql.NullString{String: u.fileID, Valid: u.fileID != ""}
	_, err := tx.ExecContext(ctx, sqlKeepKey, key.ID[:], key.Request[:], d[:], fileID, u.stored, now())
	return err
}

// findKept returns the upload of the same request that used the key, and whether there is
// one. The error wraps cas.ErrKeyReused if the key was used for another request.
func findKept(ctx context.Context, tx *sql.Tx, key cas.IdempotencyKey, d cas.Digest) (kept keptUpload, found bool, err error) {
	var request, digest []byte
	err = tx.QueryRowContext(ctx, sqlKey, key.ID[:], keysEnd(now())).Scan(&request, &digest, &kept.fileID, &kept.stored)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return keptUpload{}, false, nil
	case err != nil:
		return keptUpload{}, false, err
	case string(request) != string(key.Request[:]) || string(digest) != string(d[:]):
		return keptUpload{}, false, cas.ErrKeyReused
	}
	return kept, true, nil
}

// KeyUse implements cas.FileIndex.
func (x *Index) KeyUse(ctx context.Context, id [sha256.Size]byte) (*cas.KeyUse, error) {
	scan := func(row scanner) (cas.KeyUse, error) {
		var request, digest []byte
		var use cas.KeyUse
		var stored bool
		err := row.Scan(&request, &digest, &use.FileID, &stored)
		copy(use.Request[:], request)
		copy(use.Digest[:], digest)
		return use, err
	}
	found, err := collect(ctx, x, scan, sqlKey, id[:], keysEnd(now()))
	switch {
	case err != nil:
		return nil, fault(ctx, "look for an idempotency key", err)
	case len(found) == 0:
		return nil, nil
	}
	return &found[0], nil
}

// KeepUpload implements cas.FileIndex.
func (x *Index) KeepUpload(ctx context.Context, key cas.IdempotencyKey, u cas.KeptUpload) (first bool, err error) {
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		kept, found, err := findKept(ctx, tx, key, u.Digest)
		if err != nil || found {
			first = kept.stored
			return err
		}
		first = u.Stored
		return keepKey(ctx, tx, key, u.Digest, keptUpload{stored: u.Stored})
	})
	switch {
	case errors.Is(err, cas.ErrKeyReused):
		return false, err
	case err != nil:
		return false, fault(ctx, "record an idempotency key", err)
	}
	return first, nil
}
