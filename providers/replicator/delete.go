package replicator

import (
	"cmp"
	"context"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// remove deletes a claimed copy at its provider, or leaves it to the queue. The state of
// the returned row says which. The error is the index's.
func (r *Replicator) remove(ctx context.Context, p providers.Provider, c ledger.Copy) (ledger.Copy, error) {
	if err := r.removeRemote(ctx, p, c); err != nil {
		return r.postpone(ctx, c, err), nil
	}
	return r.finishRemoval(ctx, c)
}

// finishRemoval records that a copy's remote file is deleted, and returns the row.
func (r *Replicator) finishRemoval(ctx context.Context, c ledger.Copy) (ledger.Copy, error) {
	if err := r.finishDelete(ctx, c, ledger.StateDeleted); err != nil {
		return c, err
	}
	r.metrics.count(c.Provider, outcomeDeleted)
	c.State, c.FileID, c.Error, c.NextAttemptAt = ledger.StateDeleted, "", nil, time.Time{}
	return c, nil
}

// removeRemote deletes a copy's remote file, and files of its earlier attempts. A file
// that the provider doesn't know counts as deleted.
func (r *Replicator) removeRemote(ctx context.Context, p providers.Provider, c ledger.Copy) error {
	if c.FileID != "" {
		if err := p.Delete(ctx, c.FileID); err != nil && providers.KindOf(err) != providers.KindLost {
			return err
		}
	}
	if !c.Uncertain {
		return nil
	}
	left, err := r.leftovers(ctx, p, c)
	if err != nil {
		return err
	}
	for _, f := range left {
		if f.ID == c.FileID {
			continue
		}
		if err := p.Delete(ctx, f.ID); err != nil && providers.KindOf(err) != providers.KindLost {
			return err
		}
	}
	return nil
}

// finishDelete records that the remote file is deleted. If another gateway has claimed
// the row meanwhile, that gateway finishes the delete.
func (r *Replicator) finishDelete(ctx context.Context, c ledger.Copy, to ledger.State) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeepingTimeout)
	defer cancel()
	_, _, err := r.ledger.Change(ctx, ledger.FinishDelete(c.Key, c.Fence, to))
	return err
}

// postpone records why a delete failed and when to try again.
func (r *Replicator) postpone(ctx context.Context, c ledger.Copy, cause error) ledger.Copy {
	e := asError(cause, c.Provider, providers.OpDelete)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeepingTimeout)
	defer cancel()
	c.Attempts++
	row, held, err := r.ledger.Change(ctx, ledger.FailDelete(c.Key, c.Fence, ledger.Failure{
		State: ledger.StateDeleting, Error: e, Uncertain: c.Uncertain,
		Again: true, After: cmp.Or(e.RetryAfter, backoffDelay(c.Attempts)),
	}))
	if err == nil && !held {
		return row // another gateway has claimed it
	}
	r.log.Warn().Err(cause).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Msg("the provider has not confirmed a delete; trying again later")
	if err != nil {
		c.Error = e
		return c // its lease runs out, and the queue continues
	}
	return row
}
