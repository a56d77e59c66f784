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

// toDeleting claims a row to remove the remote file.
const toDeleting = `
        state = 'deleting', fence = c.fence + 1,
        uncertain = c.uncertain or c.state = 'uploading',
        error = case c.state when 'deleting' then c.error end,
        lease_until = now() + $6::interval, next_attempt_at = now() + $6::interval`

var sqlDeleteCopy = changeOf(
	toDeleting+`, operation_id = case $7::text when '' then c.operation_id else $7 end`,
	`c.state <> 'deleted' and (c.state <> 'deleting' or c.lease_until is null or c.lease_until <= now())`)

// DeleteCopy implements ledger.Store.
func (x *Index) DeleteCopy(ctx context.Context, k ledger.Key, operationID string, lease time.Duration) (c ledger.Copy, won bool, err error) {
	if err := index.CheckText("operation", operationID); err != nil {
		return ledger.Copy{}, false, fmt.Errorf("delete copy %s: %w", k, err)
	}
	if index.CheckKey(k) != nil {
		return ledger.Copy{}, false, noCopy("delete", k)
	}
	c, won, err = x.changeCopy(ctx, sqlDeleteCopy, keyArgs(k, lease, operationID)...)
	if err != nil {
		return ledger.Copy{}, false, copyFault(ctx, "delete", k, err)
	}
	if c.State == ledger.StateDeleted {
		return ledger.Copy{}, false, noCopy("delete", k)
	}
	return c, won, nil
}

// What a tombstone still knows is its fence, and the operation that asked for it.
var sqlFinishDelete = changeOf(`
        state = $7, file_id = '', remote_name = '', expires_at = null, error = null,
        next_attempt_at = null, lease_until = null,
        ready_at = case when $7 = 'deleted' then null else c.ready_at end,
        last_used_at = case when $7 = 'deleted' then null else c.last_used_at end`,
	`c.fence = $6 and c.state = 'deleting'`)

// FinishDelete implements ledger.Store. It may be repeated: who finds the row
// under its own fence in the state that it gives has put it there.
func (x *Index) FinishDelete(ctx context.Context, k ledger.Key, fence int64, to ledger.State) (held bool, err error) {
	if to != ledger.StateDeleted && to != ledger.StateEvicted {
		return false, fmt.Errorf("finish the delete of copy %s: it can't become %q", k, to)
	}
	if index.CheckKey(k) != nil {
		return false, noCopy("finish the delete of", k)
	}
	c, held, err := x.changeCopy(ctx, sqlFinishDelete, keyArgs(k, fence, string(to))...)
	if err != nil {
		return false, copyFault(ctx, "finish the delete of", k, err)
	}
	return held || (c.Fence == fence && c.State == to), nil
}

var sqlFailDelete = changeOf(`
        error = $7::jsonb, uncertain = c.uncertain or $8::boolean,
        next_attempt_at = case when $9::boolean then now() + $10::interval end, lease_until = null`,
	`c.fence = $6 and c.state = 'deleting'`)

// FailDelete implements ledger.Store.
func (x *Index) FailDelete(ctx context.Context, k ledger.Key, fence int64, f ledger.Failure) (c ledger.Copy, held bool, err error) {
	if err := index.CheckFailedDelete(f); err != nil {
		return ledger.Copy{}, false, fmt.Errorf("fail the delete of copy %s: %w", k, err)
	}
	if index.CheckKey(k) != nil {
		return ledger.Copy{}, false, noCopy("fail the delete of", k)
	}
	failure, err := index.EncodeError(f.Error)
	if err != nil {
		return ledger.Copy{}, false, err
	}
	c, held, err = x.changeCopy(ctx, sqlFailDelete, keyArgs(k, fence, failure, f.Uncertain, f.Again, f.After)...)
	if err != nil {
		return ledger.Copy{}, false, copyFault(ctx, "fail the delete of", k, err)
	}
	return c, held, nil
}

// Rows that somebody is changing are left alone: of several gateways that make room
// at once each gets another copy, and nobody waits. A row locked here is checked
// again as it is then, since "for update" re-reads it.
const sqlEvictCopy = `
with victim as materialized (
    select c.digest, c.provider, c.account, c.purpose, c.extension
    from copies c
    where c.account = $3 and c.state = 'ready' and ($7::text = '' or c.purpose = $7)
      and not (` + thisCopy + `)
    order by greatest(c.last_used_at, c.ready_at)
    limit 1
    for update skip locked
), changed as (
    update copies c set ` + toDeleting + `
    from victim v
    where (c.digest, c.provider, c.account, c.purpose, c.extension) = (v.digest, v.provider, v.account, v.purpose, v.extension)
      and c.state = 'ready'
    returning ` + changedCopy + `
)
select ` + copyColumns + ` from changed`

// EvictCopy implements ledger.Store.
func (x *Index) EvictCopy(ctx context.Context, room ledger.Key, purpose string, lease time.Duration) (c ledger.Copy, won bool, err error) {
	if index.CheckKey(room) != nil || index.CheckText("purpose", purpose) != nil {
		return ledger.Copy{}, false, nil // no row can be of that account or purpose
	}
	call, cancel := bounded(ctx)
	defer cancel()
	c, err = scanCopy(x.pool.QueryRow(call, sqlEvictCopy, keyArgs(room, lease, purpose)...))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ledger.Copy{}, false, nil
	case err != nil:
		return ledger.Copy{}, false, fault(ctx, "evict a copy to make room for "+room.String(), err)
	}
	return c, true, nil
}
