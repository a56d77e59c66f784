package replicator

import (
	"context"
	"errors"
	"fmt"

	"casgate/providers/ledger"
)

// Remove deletes the copies of a blob at a provider, at all accounts, of all purposes or
// of the request's. It returns their rows: StateDeleted if the provider has confirmed the
// delete, and StateDeleting if not yet; the queue then continues. A copy at an account
// without a key stays StateDeleting, and its error says why. Errors:
// ledger.ErrNotFound, ErrProviderNotFound, an *Error, those of the index.
func (r *Replicator) Remove(ctx context.Context, q Request) ([]ledger.Copy, error) {
	copies, err := r.copiesAtAll(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(copies) == 0 {
		if _, err := r.account(q.Provider); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %s has none at %s", ledger.ErrNotFound, q.Digest, q.Provider)
	}
	r.requesters.add(q, true)
	goesOn := false
	defer func() {
		if goesOn {
			r.requesters.add(q, false)
		} else {
			r.requesters.remove(q.OperationID)
		}
	}()
	// All are marked before any is deleted, so the queue continues after an interruption.
	var mine []int
	for i, c := range copies {
		claimed, won, err := r.markDeleted(ctx, c.Key, q.OperationID)
		switch {
		case errors.Is(err, ledger.ErrNotFound):
			copies[i].State = ledger.StateDeleted // another gateway has just deleted it
			continue
		case err != nil:
			return nil, err
		case won:
			mine = append(mine, i)
		default: // another client deletes it
			if claimed.OperationID != q.OperationID {
				if claimed, _, err = r.ledger.Change(ctx, ledger.RepeatDelete(c.Key, q.OperationID)); err != nil {
					return nil, err
				}
			}
			goesOn = goesOn || claimed.State == ledger.StateDeleting
		}
		copies[i] = claimed
	}
	r.changes.signal(q.Digest) // ends uploads here
	for _, i := range mine {
		if copies[i], err = r.removeAnywhere(ctx, copies[i], q.OperationID); err != nil {
			return nil, err
		}
		goesOn = goesOn || copies[i].State == ledger.StateDeleting
	}
	return copies, nil
}

// markDeleted claims a copy in order to delete it. If another client evicts it, that becomes
// the delete of this operation, on which the other client works. A delete that another
// operation has asked for stays as it is.
func (r *Replicator) markDeleted(ctx context.Context, k ledger.Key, operationID string) (row ledger.Copy, mine bool, err error) {
	for {
		row, mine, err = r.ledger.Change(ctx, ledger.Delete(k, operationID, r.o.Lease))
		if err != nil || mine || row.State == ledger.StateDeleting && !row.Evicting {
			return row, mine, err
		}
		repeated := false
		row, repeated, err = r.ledger.Change(ctx, ledger.RepeatDelete(k, operationID))
		if err != nil || repeated || row.State == ledger.StateDeleting {
			return row, false, err
		}
		// The other client has ended its work meanwhile.
	}
}
