package replicator

import (
	"context"
	"errors"
	"fmt"

	"casgate/providers"
	"casgate/providers/ledger"
)

// Remove deletes the copies of a blob at a provider, at all accounts, of all purposes or
// of the request's. It returns their rows: StateDeleted if the provider has confirmed the
// delete, and StateDeleting if not yet; the queue then continues. A copy at an account
// without a key stays StateDeleting, and its error says why. Errors:
// ledger.ErrNotFound, ErrProviderNotFound, an *Error, those of the index, and
// providers.ErrCopyInProgress if too many requests wait for the delete of a copy.
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
	r.requesters.add(ctx, q, true)
	defer r.leaveRemoval(ctx, q, copies) // the result has these rows
	// All are marked before any is deleted, so the queue continues after an interruption.
	var mine []int
	var many error
	for i, c := range copies {
		claimed, won, err := r.markDeleted(ctx, c.Key, q.OperationID)
		switch {
		case errors.Is(err, ledger.ErrNotFound):
			copies[i].State = ledger.StateDeleted // another gateway has just deleted it
			continue
		case errors.Is(err, errManyDeletes):
			many = err // the others are deleted nevertheless
		case err != nil:
			return nil, err
		case won:
			mine = append(mine, i)
		}
		copies[i] = claimed
	}
	r.changes.signal(q.Digest) // ends uploads here
	for _, i := range mine {
		if copies[i], err = r.removeAnywhere(ctx, copies[i], q.OperationID); err != nil {
			return nil, err
		}
	}
	if many != nil {
		return nil, many
	}
	return copies, nil
}

// errManyDeletes: so many requests wait for the delete of a copy that its row can't keep one
// more. It has no end of its own.
var errManyDeletes = fmt.Errorf("%w: it is being deleted, and too many requests wait for that already", providers.ErrCopyInProgress)

// markDeleted claims a copy in order to delete it. If another client deletes or evicts it,
// that also becomes a delete for this operation, on which the other client works. With
// errManyDeletes it returns the row, too.
func (r *Replicator) markDeleted(ctx context.Context, k ledger.Key, operationID string) (row ledger.Copy, mine bool, err error) {
	for {
		row, mine, err = r.ledger.Change(ctx, ledger.Delete(k, operationID, r.o.Lease))
		if err != nil || mine {
			return row, mine, err
		}
		repeated := false
		row, repeated, err = r.ledger.Change(ctx, ledger.RepeatDelete(k, operationID))
		switch {
		case err != nil || repeated:
			return row, false, err
		case row.State == ledger.StateDeleting:
			return row, false, fmt.Errorf("%w: operation %s ends with the delete of %s", errManyDeletes, row.OperationID, row.Key)
		}
		// The other client has ended its work meanwhile.
	}
}

// leaveRemoval ends the wait for a delete. Its caller takes the result, unless the delete
// of a copy goes on. The rows are brought up to date.
func (r *Replicator) leaveRemoval(ctx context.Context, q Request, rows []ledger.Copy) {
	defer r.lastOf.lock(q.Digest)()
	if r.isDeleting(ctx, q, rows) {
		r.requesters.add(ctx, q, false)
	} else {
		r.requesters.remove(q.OperationID)
	}
}

// isDeleting reports whether the delete of one of these rows goes on for an operation. It
// brings rows up to date that another client has deleted meanwhile. The caller holds the
// blob's lock of lastOfDelete.
func (r *Replicator) isDeleting(ctx context.Context, q Request, rows []ledger.Copy) (goesOn bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeepingTimeout)
	defer cancel()
	for i, c := range rows {
		if c.State != ledger.StateDeleting || !c.IsDeletedFor(q.OperationID) {
			continue
		}
		now, err := r.ledger.Copy(ctx, c.Key)
		if isGone(now, err, q.OperationID) {
			setGone(&rows[i])
		} else { // an event reports the end later
			goesOn = true
		}
	}
	return goesOn
}

// isGone reports whether an operation's delete of a copy has ended, by the copy's present row
// and the error of reading it.
func isGone(now ledger.Copy, err error, operationID string) bool {
	return errors.Is(err, ledger.ErrNotFound) || err == nil && !now.IsDeletedFor(operationID)
}

// setGone brings the row of a copy up to date that another client has deleted.
func setGone(row *ledger.Copy) { row.State, row.FileID, row.Error = ledger.StateDeleted, "", nil }
