package replicator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// Removal is a delete of all copies of a blob. The queue of any gateway continues it if
// this process ends.
type Removal struct {
	r     *Replicator
	q     Request
	began time.Time
	first []ledger.Copy // the rows when the blob was released
	tried chan struct{} // closed after the first attempt for each copy
	last  []ledger.Copy // the rows after that
	// many is the error of a copy for whose delete too many requests wait already. Its end is
	// not that of this operation.
	many error
}

// marking is a copy to be deleted.
type marking struct {
	row ledger.Copy
	// mine: this process has the claim. Otherwise another gateway has it.
	mine bool
}

// RemoveAll deletes all copies of a blob, at all providers and accounts, and the blob
// itself by calling release. First it marks the existing copies, so that an interrupted
// delete can be repeated. Then it calls release. Then it marks the copies that were
// started meanwhile. After release has condemned the blob, no copy is started. If
// release fails, its error is returned, and the marked copies are deleted anyway. If too
// many requests wait for the delete of a copy already, this one ends with an error in its
// event, and the blob is released nevertheless.
//
// RemoveAll uses the digest, operation, actor and file of the request. Errors are those
// of release and of the index.
func (r *Replicator) RemoveAll(ctx context.Context, q Request, release func() error) (*Removal, error) {
	rm := &Removal{r: r, q: q, began: time.Now(), tried: make(chan struct{})}
	r.requesters.add(ctx, q, true)
	marked, err := rm.mark(ctx, nil)
	if err == nil {
		err = release()
	}
	end, beginErr := r.begin()
	if beginErr != nil { // the next start, or another gateway, deletes the marked copies
		end = func() {}
	}
	if err != nil && len(marked) == 0 {
		end()
		r.requesters.remove(q.OperationID)
		return nil, err
	}
	rm.first = rowsOf(marked)
	released := err == nil
	go func() {
		defer end()
		defer close(rm.tried)
		if released {
			marked = rm.markRest(r.working, marked)
		}
		rm.last = rm.remove(r.working, marked)
	}()
	if err != nil {
		r.requesters.stopWaiting(q.OperationID)
		return nil, err
	}
	return rm, nil
}

// Wait waits until each copy was deleted or its first attempt failed, or until ctx is
// done, which doesn't stop the delete. It returns the rows: StateDeleted if the provider
// has confirmed the delete. Otherwise StateDeleting: the provider has not confirmed it, a
// file may still appear there, or the account has no key.
func (rm *Removal) Wait(ctx context.Context) []ledger.Copy {
	select {
	case <-rm.tried:
	case <-ctx.Done():
		if !rm.r.requesters.stopWaiting(rm.q.OperationID) {
			return rm.first
		}
		<-rm.tried // it has just ended, and no event was sent
	}
	for _, c := range rm.last {
		if c.State == ledger.StateDeleting && c.IsDeletedFor(rm.q.OperationID) {
			return rm.last // an event reports its end later
		}
	}
	rm.r.requesters.remove(rm.q.OperationID)
	return rm.last
}

// WaitConfirmed is Wait, and then waits for the copies whose first attempt failed, until the
// queue has deleted them. It doesn't wait for a copy whose error is hopeless: another attempt
// fails, too.
func (rm *Removal) WaitConfirmed(ctx context.Context, hopeless func(*providers.Error) bool) []ledger.Copy {
	rows := slices.Clone(rm.Wait(ctx))
	for i := range rows {
		rm.waitConfirmed(ctx, &rows[i], hopeless)
	}
	return rows
}

// waitConfirmed brings a row up to date until its copy is gone, or there is nothing to wait for.
func (rm *Removal) waitConfirmed(ctx context.Context, row *ledger.Copy, hopeless func(*providers.Error) bool) {
	for ctx.Err() == nil && row.State == ledger.StateDeleting && row.IsDeletedFor(rm.q.OperationID) {
		changed, release := rm.r.changes.wait(row.Digest)
		now, err := rm.r.ledger.Copy(ctx, row.Key)
		switch {
		case isGone(now, err, rm.q.OperationID):
			setGone(row)
		case err == nil:
			*row = now
		}
		if err != nil || row.State != ledger.StateDeleting || row.Error != nil && hopeless(row.Error) {
			release()
			return
		}
		_ = rm.r.await(ctx, *row, changed) // the loop looks at ctx
		release()
	}
}

func rowsOf(marked []marking) []ledger.Copy {
	rows := make([]ledger.Copy, len(marked))
	for i, m := range marked {
		rows[i] = m.row
	}
	return rows
}

// mark marks the existing copies that are not marked yet, and returns all marked ones.
func (rm *Removal) mark(ctx context.Context, marked []marking) ([]marking, error) {
	rows, err := rm.r.ledger.Copies(ctx, rm.q.Digest)
	if err != nil {
		return marked, err
	}
	rm.many = nil
	for _, c := range rows {
		if c.State == ledger.StateDeleting && c.IsDeletedFor(rm.q.OperationID) {
			continue
		}
		claimed, won, err := rm.r.markDeleted(ctx, c.Key, rm.q.OperationID)
		switch {
		case errors.Is(err, ledger.ErrNotFound): // another gateway has just deleted it
			continue
		case errors.Is(err, errManyDeletes):
			rm.many = err
		case err != nil:
			return marked, err
		}
		m := marking{row: claimed, mine: won}
		if i := indexOfKey(marked, c.Key); i >= 0 {
			marked[i] = m // made again after another gateway deleted it
		} else {
			marked = append(marked, m)
		}
	}
	rm.r.changes.signal(rm.q.Digest) // ends uploads here
	return marked, nil
}

func indexOfKey(marked []marking, k ledger.Key) int {
	for i, m := range marked {
		if m.row.Key == k {
			return i
		}
	}
	return -1
}

// markRest marks the copies that were started before the blob was released. It repeats
// until it succeeds: no later request can do it, since the blob no longer exists.
func (rm *Removal) markRest(ctx context.Context, marked []marking) []marking {
	for attempt := 1; ; attempt++ {
		var err error
		if marked, err = rm.mark(ctx, marked); err == nil {
			return marked
		}
		if ctx.Err() == nil {
			rm.r.log.Warn().Err(err).Str("operation_id", rm.q.OperationID).Stringer("digest", rm.q.Digest).Msg("could not search for copies of a deleted blob; trying again")
		}
		timer := time.NewTimer(backoffDelay(attempt))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return marked
		}
	}
}

// remove deletes the marked copies in parallel: each account has its own limits. It
// returns the new rows.
func (rm *Removal) remove(ctx context.Context, marked []marking) []ledger.Copy {
	rows := rowsOf(marked)
	var workers sync.WaitGroup
	for i, m := range marked {
		if !m.mine {
			continue
		}
		workers.Go(func() {
			row, err := rm.r.removeAnywhere(ctx, m.row, rm.q.OperationID)
			rows[i] = row
			if err != nil { // of the index: the lease runs out, and the queue continues
				rm.r.log.Warn().Err(err).Str("operation_id", m.row.OperationID).Stringer("copy", m.row.Key).Msg("could not record a delete; trying again later")
			}
		})
	}
	workers.Wait()
	defer rm.r.lastOf.lock(rm.q.Digest)()
	switch {
	case rm.r.isDeleting(ctx, rm.q, rows):
		rm.r.requesters.add(ctx, rm.q, false)
	case len(rows) > 0 && (rm.q.Actor == "" || rm.r.requesters.knows(rm.q.OperationID)): // the end is not reported yet
		rm.r.report(Event{Kind: EventDeleted, OperationID: rm.q.OperationID, Copy: rows[len(rows)-1], Start: rm.began, Err: rm.many})
	}
	return rows
}

// removeAnywhere deletes a copy at any account, for a caller that takes the result. Without
// the account's key it can delete only a copy that has no remote file. The error is the
// index's.
func (r *Replicator) removeAnywhere(ctx context.Context, c ledger.Copy, operationID string) (ledger.Copy, error) {
	p, ok := r.accounts[c.Provider]
	if ok && p.Describe().Account == c.Account {
		row, _, err := r.endDelete(ctx, p, c, operationID)
		return row, err
	}
	if c.FileID == "" && len(c.Strays) == 0 {
		row, _, err := r.endDelete(ctx, nil, c, operationID)
		return row, err
	}
	return r.postpone(ctx, c, &providers.Error{
		Provider: c.Provider, Op: providers.OpCheck, Kind: providers.KindAuth, Code: providers.CodeNotConfigured,
		Message: fmt.Sprintf("there is no key for the account %s that the copy is at", c.Account),
		Hint:    "configure that account's key again, and the copy is deleted; if the present key opens the same account, run cas copies move-account " + c.Provider + " --from " + c.Account,
	}), nil
}
