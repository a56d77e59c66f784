package replicator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// Remove deletes the copies of a blob at a provider, of all purposes unless the
// request names one. It returns their rows: StateDeleted where the provider has
// confirmed it, StateDeleting where it is still being tried, which goes on by
// itself. Errors: ledger.ErrNotFound, ErrProviderNotFound, an *Error, those of the
// index.
func (r *Replicator) Remove(ctx context.Context, q Request) ([]ledger.Copy, error) {
	p, err := r.account(q.Provider)
	if err != nil {
		return nil, err
	}
	copies, err := r.copiesAt(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(copies) == 0 {
		return nil, fmt.Errorf("%w: %s has none at %s", ledger.ErrNotFound, q.Digest, q.Provider)
	}
	r.asked.enter(q, true)
	goesOn := false
	defer func() {
		if goesOn {
			r.asked.enter(q, false)
		} else {
			r.asked.drop(q.OperationID)
		}
	}()
	// All are marked before any is removed: what is cut short the queue takes up.
	var mine []int
	for i, c := range copies {
		claimed, won, err := r.ledger.DeleteCopy(ctx, c.Key, q.OperationID, r.o.Lease)
		switch {
		case errors.Is(err, ledger.ErrNotFound):
			copies[i].State = ledger.StateDeleted // by somebody else, just now
			continue
		case err != nil:
			return nil, err
		case won:
			mine = append(mine, i)
		}
		copies[i] = claimed // or somebody else is at it
	}
	for _, i := range mine {
		if copies[i], err = r.remove(ctx, p, copies[i]); err != nil {
			return nil, err
		}
		goesOn = goesOn || copies[i].State == ledger.StateDeleting
	}
	return copies, nil
}

// remove does the work of a claimed delete, or leaves it to the queue. The row
// that it returns says which; the error is the index's.
func (r *Replicator) remove(ctx context.Context, p providers.Provider, c ledger.Copy) (ledger.Copy, error) {
	if err := r.removeRemote(ctx, p, c); err != nil {
		return r.postpone(ctx, c, err), nil
	}
	return r.finishRemoval(ctx, c)
}

// removeDue is remove for a row that the queue has claimed, and tells of the end of
// the delete.
func (r *Replicator) removeDue(ctx context.Context, p providers.Provider, c ledger.Copy, began time.Time) error {
	if err := r.removeRemote(ctx, p, c); err != nil {
		r.postpone(ctx, c, err)
		return nil
	}
	// One after the other: else the last two copies of a delete could each be taken for
	// its end. (In two gateways they still could; then it has two records.)
	r.lastOfDelete.Lock()
	defer r.lastOfDelete.Unlock()
	c, err := r.finishRemoval(ctx, c)
	if err == nil {
		r.tellDeleted(ctx, c, began)
	}
	return err
}

// finishRemoval records that a copy's remote file is gone, and returns the row.
func (r *Replicator) finishRemoval(ctx context.Context, c ledger.Copy) (ledger.Copy, error) {
	if err := r.finishDelete(ctx, c, ledger.StateDeleted); err != nil {
		return c, err
	}
	r.metrics.count(c.Provider, outcomeDeleted)
	c.State, c.FileID, c.Error, c.NextAttemptAt = ledger.StateDeleted, "", nil, time.Time{}
	return c, nil
}

// removeRemote deletes a copy's remote file, and what its earlier attempts may
// have left. That the provider doesn't know it is as good.
func (r *Replicator) removeRemote(ctx context.Context, p providers.Provider, c ledger.Copy) error {
	if c.FileID != "" {
		if err := p.Delete(ctx, c.FileID); err != nil && providers.KindOf(err) != providers.KindLost {
			return err
		}
	}
	if !c.Uncertain {
		return nil
	}
	left, err := leftovers(ctx, p, c)
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

// leftovers returns the remote files whose names say that they are a copy's, of
// whichever attempt. They are gathered before anything is done about them: a list
// that is being read takes up one of the account's calls.
//
// Of a purpose whose files aren't listed it finds none: there is no way to look.
func leftovers(ctx context.Context, p providers.Provider, c ledger.Copy) ([]providers.RemoteFile, error) {
	purpose, err := p.Describe().Purpose(c.Purpose, "")
	if err != nil {
		purpose = providers.Purpose{Name: c.Purpose} // it was configured when the copy was made
	}
	if purpose.Unlisted {
		return nil, nil
	}
	var files []providers.RemoteFile
	for f, err := range p.List(ctx, c.Purpose) {
		if err != nil {
			return nil, err
		}
		if name, ours := providers.ParseRemoteName(f.Name); ours && matches(c, name, f, purpose) {
			files = append(files, f)
		}
	}
	return files, nil
}

// finishDelete records that the remote file is gone. That somebody else took the
// row over meanwhile is theirs to finish.
func (r *Replicator) finishDelete(ctx context.Context, c ledger.Copy, to ledger.State) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeepingTimeout)
	defer cancel()
	_, err := r.ledger.FinishDelete(ctx, c.Key, c.Fence, to)
	return err
}

// postpone records why a delete failed, and that it is to be tried again.
func (r *Replicator) postpone(ctx context.Context, c ledger.Copy, cause error) ledger.Copy {
	e := asError(cause, c.Provider, providers.OpDelete)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeepingTimeout)
	defer cancel()
	c.Attempts++
	row, held, err := r.ledger.FailDelete(ctx, c.Key, c.Fence, ledger.Failure{
		State: ledger.StateDeleting, Error: e, Uncertain: c.Uncertain,
		Again: true, After: cmp.Or(e.RetryAfter, backoffDelay(c.Attempts)),
	})
	if err == nil && !held {
		return row // somebody else is at it, or was
	}
	r.log.Warn().Err(cause).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Msg("the provider has not confirmed a delete; trying again later")
	if err != nil {
		c.Error = e
		return c // its lease runs out, and the queue takes it up
	}
	return row
}

// The loop guard of lost copies: a file that was lost more often than that within
// the window is left alone until the window is over.
const (
	allowedLosses = 3
	lossWindow    = time.Hour
)

// ReportLost is what to call when a provider denies a file id that Ensure gave:
// where the provider really doesn't know the file any more, the copy is lost, and
// made anew. A file id that isn't the copy's any more changes nothing; an empty one
// stands for the copy's. The copy returned is usable.
func (r *Replicator) ReportLost(ctx context.Context, q Request, fileID string) (c ledger.Copy, created bool, err error) {
	j, err := r.plan(ctx, q)
	if err != nil {
		return ledger.Copy{}, false, err
	}
	c, err = r.ledger.Copy(ctx, j.wanted.Key)
	if errors.Is(err, ledger.ErrNotFound) {
		return r.Ensure(ctx, q)
	}
	if err != nil {
		return ledger.Copy{}, false, err
	}
	if c.State == ledger.StateReady && (fileID == "" || fileID == c.FileID) {
		gone, err := r.isGone(ctx, j, c.FileID)
		if err != nil {
			return ledger.Copy{}, false, err
		}
		if gone {
			if err := r.lose(ctx, c); err != nil {
				return ledger.Copy{}, false, err
			}
		}
	}
	return r.Ensure(ctx, q)
}

// lose records that a provider doesn't know a copy's file any more.
func (r *Replicator) lose(ctx context.Context, c ledger.Copy) error {
	lost, err := r.ledger.LoseCopy(ctx, c.Key, c.FileID, allowedLosses, lossWindow)
	if err != nil {
		return err
	}
	if lost.State == ledger.StateLost {
		r.metrics.count(c.Provider, outcomeLost)
		r.log.Warn().Str("operation_id", c.OperationID).Stringer("copy", c.Key).Str("file", c.FileID).Int("losses", lost.Losses).Msg("the provider has lost a file")
	}
	return nil
}

// isGone asks the provider whether it knows a file. Where it can't tell, the
// caller's word counts.
func (r *Replicator) isGone(ctx context.Context, j job, id string) (bool, error) {
	_, err := r.lookUp(ctx, j, id)
	if providers.KindOf(err) == providers.KindLost {
		return true, nil
	}
	return false, err
}

// lookUp returns what the provider says of a file, KindLost where it doesn't know
// it, or can't tell.
func (r *Replicator) lookUp(ctx context.Context, j job, id string) (providers.RemoteFile, error) {
	if retriever, ok := providers.Ability[providers.Retriever](j.provider); ok {
		return retriever.Retrieve(ctx, id)
	}
	if !j.purpose.Unlisted {
		for f, err := range j.provider.List(ctx, j.purpose.Name) {
			if err != nil || f.ID == id {
				return f, err
			}
		}
	}
	return providers.RemoteFile{}, &providers.Error{
		Provider: j.about.Provider, Op: providers.OpList, Kind: providers.KindLost, Code: "not_listed",
		Message: fmt.Sprintf("the provider lists no file %s", id),
	}
}
