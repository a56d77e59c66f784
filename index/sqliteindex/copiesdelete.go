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

// claimDelete claims a row to remove the remote file.
func (r *copyRow) claimDelete(lease time.Duration, at time.Time) {
	r.Uncertain = r.Uncertain || r.State == ledger.StateUploading
	if r.State != ledger.StateDeleting {
		r.Error = nil
	}
	r.State = ledger.StateDeleting
	r.Fence++
	r.LeaseUntil = at.Add(lease)
	r.NextAttemptAt = r.LeaseUntil
}

// DeleteCopy implements ledger.Store.
func (x *Index) DeleteCopy(ctx context.Context, k ledger.Key, operationID string, lease time.Duration) (c ledger.Copy, won bool, err error) {
	if err := index.CheckText("operation", operationID); err != nil {
		return ledger.Copy{}, false, fmt.Errorf("delete copy %s: %w", k, err)
	}
	if index.CheckKey(k) != nil {
		return ledger.Copy{}, false, noCopy("delete", k)
	}
	c, won, err = x.changeCopy(ctx, k, false, func(r *copyRow, at time.Time) bool {
		if r.State == ledger.StateDeleted || (r.State == ledger.StateDeleting && r.leased(at)) {
			return false
		}
		r.claimDelete(lease, at)
		if operationID != "" {
			r.OperationID = operationID
		}
		return true
	})
	if err != nil {
		return ledger.Copy{}, false, copyFault(ctx, "delete", k, err)
	}
	if c.State == ledger.StateDeleted {
		return ledger.Copy{}, false, noCopy("delete", k)
	}
	return c, won, nil
}

// FinishDelete implements ledger.Store. It may be repeated: who finds the row
// under its own fence in the state that it gives has put it there.
func (x *Index) FinishDelete(ctx context.Context, k ledger.Key, fence int64, to ledger.State) (held bool, err error) {
	if to != ledger.StateDeleted && to != ledger.StateEvicted {
		return false, fmt.Errorf("finish the delete of copy %s: it can't become %q", k, to)
	}
	if index.CheckKey(k) != nil {
		return false, noCopy("finish the delete of", k)
	}
	c, held, err := x.changeCopy(ctx, k, false, func(r *copyRow, _ time.Time) bool {
		if r.Fence != fence || r.State != ledger.StateDeleting {
			return false
		}
		r.State, r.FileID, r.RemoteName, r.ExpiresAt, r.Error = to, "", "", time.Time{}, nil
		r.NextAttemptAt, r.LeaseUntil = time.Time{}, time.Time{}
		if to == ledger.StateDeleted {
			// What a tombstone still knows is its fence, and the operation that asked for it.
			r.ReadyAt, r.LastUsedAt = time.Time{}, time.Time{}
		}
		return true
	})
	if err != nil {
		return false, copyFault(ctx, "finish the delete of", k, err)
	}
	return held || (c.Fence == fence && c.State == to), nil
}

// FailDelete implements ledger.Store.
func (x *Index) FailDelete(ctx context.Context, k ledger.Key, fence int64, f ledger.Failure) (c ledger.Copy, held bool, err error) {
	if err := index.CheckFailedDelete(f); err != nil {
		return ledger.Copy{}, false, fmt.Errorf("fail the delete of copy %s: %w", k, err)
	}
	if index.CheckKey(k) != nil {
		return ledger.Copy{}, false, noCopy("fail the delete of", k)
	}
	c, held, err = x.changeCopy(ctx, k, false, func(r *copyRow, at time.Time) bool {
		if r.Fence != fence || r.State != ledger.StateDeleting {
			return false
		}
		r.fail(f, at)
		return true
	})
	if err != nil {
		return ledger.Copy{}, false, copyFault(ctx, "fail the delete of", k, err)
	}
	return c, held, nil
}

// The list of states is the index's: SQLite does not see by itself that ready is one
// of them.
const sqlVictim = `
select ` + copyColumns + ` from copies
where account = ?3 and state in ('uploading', 'processing', 'unverified', 'ready', 'deleting')
  and state = 'ready' and (?6 = '' or purpose = ?6) and not (` + thisCopy + `)
order by max(coalesce(last_used_at, ready_at), ready_at)
limit 1`

// EvictCopy implements ledger.Store.
func (x *Index) EvictCopy(ctx context.Context, room ledger.Key, purpose string, lease time.Duration) (c ledger.Copy, won bool, err error) {
	if index.CheckKey(room) != nil || index.CheckText("purpose", purpose) != nil {
		return ledger.Copy{}, false, nil // no row can be of that account or purpose
	}
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := scanCopy(tx.QueryRowContext(ctx, sqlVictim, keyArgs(room, purpose)...))
		if err != nil {
			return err
		}
		r.claimDelete(lease, time.UnixMicro(now()).UTC())
		r, err = putCopy(ctx, tx, r)
		c = r.Copy
		return err
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ledger.Copy{}, false, nil
	case err != nil:
		return ledger.Copy{}, false, fault(ctx, "evict a copy to make room for "+room.String(), err)
	}
	return c, true, nil
}
