package pgindex

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/index"
	"casgate/providers/ledger"
)

// copiesChannel carries the announcements of changed copies and extracted texts:
// the 64 hex digits of their blob's digest.
const copiesChannel = "casgate_copies"

const (
	// copyColumns is what scanCopy reads.
	copyColumns = `digest, provider, account, purpose, extension, state, fence, file_id, remote_name, name, media_type, size,
    uncertain, attempts, losses, error::text, operation_id,
    created_at, ready_at, last_used_at, expires_at, next_attempt_at, lease_until`

	// copyFields are the same of the row "c", for inner queries.
	copyFields = `c.digest, c.provider, c.account, c.purpose, c.extension, c.state, c.fence, c.file_id, c.remote_name,
        c.name, c.media_type, c.size, c.uncertain, c.attempts, c.losses, c.error, c.operation_id,
        c.created_at, c.ready_at, c.last_used_at, c.expires_at, c.next_attempt_at, c.lease_until`

	// changedCopy is copyFields for a returning clause, which announces each row that is
	// changed: the announcement goes out if, and only if, the change is committed.
	changedCopy = copyFields + `,
        pg_notify('` + copiesChannel + `', encode(c.digest, 'hex'))::text as told`

	// thisCopy is the condition that the row "c" is that of keyArgs.
	thisCopy = `c.digest = $1 and c.provider = $2 and c.account = $3 and c.purpose = $4 and c.extension = $5`
)

// keyArgs are the first five arguments of a statement about one row, before more.
func keyArgs(k ledger.Key, more ...any) []any {
	return append([]any{k.Digest[:], k.Provider, k.Account, k.Purpose, k.Extension}, more...)
}

// scanCopy reads copyColumns, and into more what comes after them.
func scanCopy(row pgx.Row, more ...any) (ledger.Copy, error) {
	var c ledger.Copy
	var failure *string
	var ready, used, expires, next, lease *time.Time
	into := append([]any{
		&c.Digest, &c.Provider, &c.Account, &c.Purpose, &c.Extension,
		&c.State, &c.Fence, &c.FileID, &c.RemoteName, &c.Name, &c.MediaType, &c.Size,
		&c.Uncertain, &c.Attempts, &c.Losses, &failure, &c.OperationID,
		&c.CreatedAt, &ready, &used, &expires, &next, &lease,
	}, more...)
	if err := row.Scan(into...); err != nil {
		return ledger.Copy{}, err
	}
	c.CreatedAt = c.CreatedAt.UTC()
	c.ReadyAt, c.LastUsedAt, c.ExpiresAt = timeOrZero(ready), timeOrZero(used), timeOrZero(expires)
	c.NextAttemptAt, c.LeaseUntil = timeOrZero(next), timeOrZero(lease)
	var err error
	c.Error, err = index.DecodeError(failure)
	return c, err
}

// changeOf makes a statement that changes the row of keyArgs where condition holds,
// and returns it; or else returns the row as it is. Both are about the row "c".
//
// The update works on the newest version of the row, having waited for whoever
// changes it; the row it did not change comes from the statement's snapshot, and
// may be an older one. Where that shows, in that the condition holds for it, the
// last column is true: the statement must be repeated.
func changeOf(set, condition string) string {
	return `
with changed as (
    update copies c set ` + set + `
    where ` + thisCopy + ` and (` + condition + `)
    returning ` + changedCopy + `
)
select ` + copyColumns + `, true as changed, false as outdated from changed
union all
select ` + copyColumns + `, false, coalesce(` + condition + `, false) from copies c
where ` + thisCopy + ` and not exists (select from changed)`
}

// changeCopy runs a statement of changeOf. The error is pgx.ErrNoRows where there
// is no row.
func (x *Index) changeCopy(ctx context.Context, statement string, args ...any) (c ledger.Copy, changed bool, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for outdated := true; outdated && err == nil; {
		c, err = scanCopy(x.pool.QueryRow(ctx, statement, args...), &changed, &outdated)
	}
	return c, changed, err
}

// claimCopy runs a statement that returns the row it changed, or the row as it is
// because there is nothing to change, or, where both were true for a moment,
// nothing. Then it is repeated.
func (x *Index) claimCopy(ctx context.Context, statement string, args ...any) (c ledger.Copy, changed bool, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for {
		c, err = scanCopy(x.pool.QueryRow(ctx, statement, args...), &changed)
		if !errors.Is(err, pgx.ErrNoRows) {
			return c, changed, err
		}
	}
}

// copyFault is fault for an operation on one copy, and turns "no row" into
// ledger.ErrNotFound.
func copyFault(ctx context.Context, doing string, k ledger.Key, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return noCopy(doing, k)
	}
	return fault(ctx, doing+" copy "+k.String(), err)
}

// noCopy says that there is no such row.
func noCopy(doing string, k ledger.Key) error {
	return fmt.Errorf("%s copy %s: %w", doing, k, ledger.ErrNotFound)
}
