package pgindex

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
)

// freshKey is the condition that the idempotency key "k" still counts.
var freshKey = fmt.Sprintf(`k.created_at > now() - interval '%d seconds'`, int64(cas.IdempotencyKeyLife.Seconds()))

var (
	sqlKey    = `select k.request, k.digest, coalesce(k.file_id, ''), k.stored from idempotency_keys k where k.id = $1 and ` + freshKey
	sqlKeyUse = `select k.request, k.digest, coalesce(k.file_id, '') from idempotency_keys k where k.id = $1 and ` + freshKey
	// sqlForgetKeys forgets the keys that don't count any more.
	sqlForgetKeys = `delete from idempotency_keys k where not (` + freshKey + `)`
	sqlForgetKey  = sqlForgetKeys + ` and k.id = $1`
	// sqlDropKey removes the key of a file that was created by mistake.
	sqlDropKey = `delete from idempotency_keys where id = $1 and file_id = $2`
	// sqlKeepUpload records a key, unless one is there that counts.
	sqlKeepUpload = `
insert into idempotency_keys as k (id, request, digest, stored) values ($1, $2, $3, $4)
on conflict (id) do update set
    request = excluded.request, digest = excluded.digest, file_id = null, stored = excluded.stored, created_at = excluded.created_at
where not (` + freshKey + `)`
)

// keptUpload is an upload that used an idempotency key.
type keptUpload struct {
	fileID string // empty: it created no file
	stored bool
}

// keptUpload returns the upload of the same request that used the key, and whether there
// is one. The error wraps cas.ErrKeyReused if the key was used for another request.
func (x *Index) keptUpload(ctx context.Context, key cas.IdempotencyKey, d cas.Digest) (kept keptUpload, found bool, err error) {
	var request, digest []byte
	err = x.pool.QueryRow(ctx, sqlKey, key.ID[:]).Scan(&request, &digest, &kept.fileID, &kept.stored)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return keptUpload{}, false, nil
	case err != nil:
		return keptUpload{}, false, err
	case string(request) != string(key.Request[:]) || string(digest) != string(d[:]):
		return keptUpload{}, false, cas.ErrKeyReused
	}
	return kept, true, nil
}

// keyFault is fault for errors of keptUpload and keptFile; nil stays nil.
func keyFault(ctx context.Context, doing string, err error) error {
	if err == nil || errors.Is(err, cas.ErrKeyReused) || errors.Is(err, cas.ErrFileNotFound) || errors.Is(err, cas.ErrIndexUnavailable) {
		return err
	}
	return fault(ctx, doing, err)
}

// keptFile returns the file that an upload of the same request created under n's key, and
// whether there was such an upload.
func (x *Index) keptFile(ctx context.Context, n cas.NewFile) (file cas.File, found bool, err error) {
	if n.Key == nil {
		return cas.File{}, false, nil
	}
	kept, found, err := x.keptUpload(ctx, *n.Key, n.Digest)
	if err != nil || !found {
		return cas.File{}, false, err
	}
	file, err = x.File(ctx, kept.fileID)
	return file, true, err
}

// KeyUse implements cas.FileIndex.
func (x *Index) KeyUse(ctx context.Context, id [sha256.Size]byte) (*cas.KeyUse, error) {
	call, cancel := x.bounded(ctx)
	defer cancel()
	var request, digest []byte
	var use cas.KeyUse
	err := x.pool.QueryRow(call, sqlKeyUse, id[:]).Scan(&request, &digest, &use.FileID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fault(ctx, "look for an idempotency key", err)
	}
	copy(use.Request[:], request)
	copy(use.Digest[:], digest)
	return &use, nil
}

// KeepUpload implements cas.FileIndex.
func (x *Index) KeepUpload(ctx context.Context, key cas.IdempotencyKey, u cas.KeptUpload) (first bool, err error) {
	const doing = "record an idempotency key"
	call, cancel := x.bounded(ctx)
	defer cancel()
	for {
		tag, err := x.pool.Exec(call, sqlKeepUpload, key.ID[:], key.Request[:], u.Digest[:], u.Stored)
		if err != nil {
			return false, fault(ctx, doing, err)
		}
		if tag.RowsAffected() == 1 {
			return u.Stored, nil
		}
		kept, found, err := x.keptUpload(call, key, u.Digest)
		switch {
		case err != nil:
			return false, keyFault(ctx, doing, err)
		case found:
			return kept.stored, nil
		}
		// The key's day ended between the two statements.
	}
}
