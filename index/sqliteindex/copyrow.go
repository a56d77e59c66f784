package sqliteindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"casgate/index"
	"casgate/providers/ledger"
)

// copyColumns is what scanCopy reads, and sqlPutCopy writes.
const copyColumns = `digest, provider, account, purpose, extension, state, fence, file_id, remote_name, name, media_type, size,
    uncertain, attempts, losses, error, operation_id,
    created_at, ready_at, last_used_at, lost_at, expires_at, next_attempt_at, lease_until`

// copyRow is a row of copies.
type copyRow struct {
	ledger.Copy
	lostAt time.Time // the last loss that counts among Losses
}

// scanCopy reads copyColumns.
func scanCopy(row scanner) (copyRow, error) {
	var r copyRow
	var failure *string
	var created, ready, used, lost, expires, next, lease sql.NullInt64
	err := row.Scan(
		&r.Digest, &r.Provider, &r.Account, &r.Purpose, &r.Extension,
		&r.State, &r.Fence, &r.FileID, &r.RemoteName, &r.Name, &r.MediaType, &r.Size,
		&r.Uncertain, &r.Attempts, &r.Losses, &failure, &r.OperationID,
		&created, &ready, &used, &lost, &expires, &next, &lease)
	if err != nil {
		return copyRow{}, err
	}
	r.CreatedAt, r.ReadyAt, r.LastUsedAt = fromMicros(created), fromMicros(ready), fromMicros(used)
	r.lostAt, r.ExpiresAt = fromMicros(lost), fromMicros(expires)
	r.NextAttemptAt, r.LeaseUntil = fromMicros(next), fromMicros(lease)
	r.Error, err = index.DecodeError(failure)
	return r, err
}

// rowArgs is the inverse of scanCopy.
func rowArgs(r copyRow) ([]any, error) {
	failure, err := index.EncodeError(r.Error)
	return keyArgs(r.Key,
		r.State, r.Fence, r.FileID, r.RemoteName, r.Name, r.MediaType, r.Size,
		r.Uncertain, r.Attempts, r.Losses, failure, r.OperationID,
		toMicros(r.CreatedAt), toMicros(r.ReadyAt), toMicros(r.LastUsedAt), toMicros(r.lostAt),
		toMicros(r.ExpiresAt), toMicros(r.NextAttemptAt), toMicros(r.LeaseUntil)), err
}

// thisCopy is the condition that a row is that of keyArgs.
const thisCopy = `digest = ?1 and provider = ?2 and account = ?3 and purpose = ?4 and extension = ?5`

// keyArgs are the first five arguments of a statement about one row, before more.
func keyArgs(k ledger.Key, more ...any) []any {
	return append([]any{k.Digest[:], k.Provider, k.Account, k.Purpose, k.Extension}, more...)
}

const (
	sqlCopyRow = `select ` + copyColumns + ` from copies where ` + thisCopy

	sqlPutCopy = `
insert into copies (` + copyColumns + `)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (digest, provider, account, purpose, extension) do update set
    state = excluded.state, fence = excluded.fence, file_id = excluded.file_id, remote_name = excluded.remote_name,
    name = excluded.name, media_type = excluded.media_type, size = excluded.size,
    uncertain = excluded.uncertain, attempts = excluded.attempts, losses = excluded.losses,
    error = excluded.error, operation_id = excluded.operation_id,
    created_at = excluded.created_at, ready_at = excluded.ready_at, last_used_at = excluded.last_used_at,
    lost_at = excluded.lost_at, expires_at = excluded.expires_at,
    next_attempt_at = excluded.next_attempt_at, lease_until = excluded.lease_until
returning ` + copyColumns
)

// changeCopy hands change the row as it is, with the time by the index's clock, and
// writes it back where that returns true. Nobody else writes meanwhile. Where there
// is no row, it gets one that has only a key, if create is true; otherwise the error
// is sql.ErrNoRows.
func (x *Index) changeCopy(ctx context.Context, k ledger.Key, create bool, change func(r *copyRow, at time.Time) bool) (c ledger.Copy, changed bool, err error) {
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := scanCopy(tx.QueryRowContext(ctx, sqlCopyRow, keyArgs(k)...))
		if create && errors.Is(err, sql.ErrNoRows) {
			r, err = copyRow{Copy: ledger.Copy{Key: k}}, nil
		}
		if err != nil {
			return err
		}
		if changed = change(&r, time.UnixMicro(now()).UTC()); changed {
			r, err = putCopy(ctx, tx, r)
		}
		c = r.Copy
		return err
	})
	return c, changed, err
}

// putCopy writes a row, and returns it as it was stored.
func putCopy(ctx context.Context, tx *sql.Tx, r copyRow) (copyRow, error) {
	args, err := rowArgs(r)
	if err != nil {
		return copyRow{}, err
	}
	return scanCopy(tx.QueryRowContext(ctx, sqlPutCopy, args...))
}

// passed reports whether a time that may be unset is set, and not after at.
func passed(t, at time.Time) bool { return !t.IsZero() && !t.After(at) }

// leased reports whether a lease runs.
func (r *copyRow) leased(at time.Time) bool { return r.LeaseUntil.After(at) }

// copyFault is fault for an operation on one copy, and turns "no row" into
// ledger.ErrNotFound.
func copyFault(ctx context.Context, doing string, k ledger.Key, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return noCopy(doing, k)
	}
	return fault(ctx, doing+" copy "+k.String(), err)
}

// noCopy says that there is no such row.
func noCopy(doing string, k ledger.Key) error {
	return fmt.Errorf("%s copy %s: %w", doing, k, ledger.ErrNotFound)
}
