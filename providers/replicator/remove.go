package replicator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"casgate/providers"
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
		if copies[i], err = r.removeAnywhere(ctx, copies[i]); err != nil {
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

// removeDue deletes a copy that the queue has claimed, and reports the end of the delete.
func (r *Replicator) removeDue(ctx context.Context, p providers.Provider, c ledger.Copy, began time.Time) error {
	fileID, evicting := c.FileID, c.Evicting
	c, err := r.removeRemote(ctx, p, c)
	c.Evicting = evicting // as claimed; a caller may have asked for the delete meanwhile
	switch room := r.censuses.room(c.Account); {
	case err != nil && c.Evicting && ctx.Err() == nil && r.isKept(ctx, p, c, err):
		room.noteKept(c.Key, err)
		r.stopEviction(ctx, c, err)
		return nil
	case err != nil:
		r.postpone(ctx, c, err)
		return nil
	case c.Evicting:
		room.noteEvicted(c.Key, fileID, time.Now().Add(p.Describe().SettlingOf(c.Purpose)))
	}
	// One at a time: otherwise the last two copies of a delete could both count as its
	// end. (In two gateways this is still possible; the delete then has two records.)
	r.lastOfDelete.Lock()
	row, err := r.finishDelete(ctx, c, p.Describe().SettlingOf(c.Purpose))
	if err == nil && row.State == ledger.StateDeleted {
		r.reportDeleted(ctx, row, began)
	}
	r.lastOfDelete.Unlock()
	if err == nil && isAskedForMeanwhile(c, row) {
		return r.removeDue(ctx, p, row, began)
	}
	return err
}

// isAskedForMeanwhile reports whether a caller has asked for the delete of a copy while it
// was evicted.
func isAskedForMeanwhile(evicted, now ledger.Copy) bool {
	return evicted.Evicting && now.State == ledger.StateDeleting && !now.Evicting && now.Fence == evicted.Fence
}
