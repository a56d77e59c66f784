package replicator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// Removal is a delete of all copies of a blob. What it has marked goes on by
// itself, whatever becomes of this process.
type Removal struct {
	r     *Replicator
	q     Request
	began time.Time
	first []ledger.Copy // the rows when the blob was released
	tried chan struct{} // closed when each copy was deleted, or left to be tried again
	last  []ledger.Copy // the rows then
}

// marking is a copy to be deleted.
type marking struct {
	row ledger.Copy
	// mine: this process is to delete it; else somebody else is at it.
	mine bool
	// late: it was being uploaded, and the file may yet turn up. So it is left to the
	// queue, which looks for it when the uploader must have noticed.
	late bool
}

// RemoveAll deletes all copies of a blob, at every provider and account, along with
// the blob: release is what deletes that. The copies that are there are marked first,
// so that all of it can be repeated where it is cut short; then release is called;
// then copies are marked that were begun meanwhile. Where release has condemned the
// blob no copy is begun after that. Where it fails its error is returned, and the
// copies that were marked are deleted nevertheless.
//
// Of the request digest, operation, actor and file matter. Errors are those of
// release and of the index.
func (r *Replicator) RemoveAll(ctx context.Context, q Request, release func() error) (*Removal, error) {
	rm := &Removal{r: r, q: q, began: time.Now(), tried: make(chan struct{})}
	r.requesters.add(q, true)
	marked, err := rm.mark(ctx, nil)
	if err == nil {
		err = release()
	}
	end, beginErr := r.begin()
	if beginErr != nil { // the next start, or another gateway, deletes what was marked
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

// Wait waits until each copy was deleted, or left to be tried again, or ctx is done,
// which stops nothing. It returns the rows: StateDeleted where the provider has
// confirmed it, and StateDeleting where it has not, or a file may yet turn up there,
// or no key is configured for the account.
func (rm *Removal) Wait(ctx context.Context) []ledger.Copy {
	select {
	case <-rm.tried:
	case <-ctx.Done():
		if !rm.r.requesters.stopWaiting(rm.q.OperationID) {
			return rm.first
		}
		<-rm.tried // it has ended just now, and nobody else was told
	}
	for _, c := range rm.last {
		if c.State == ledger.StateDeleting && c.OperationID == rm.q.OperationID {
			return rm.last // its end is told later
		}
	}
	rm.r.requesters.remove(rm.q.OperationID)
	return rm.last
}

func rowsOf(marked []marking) []ledger.Copy {
	rows := make([]ledger.Copy, len(marked))
	for i, m := range marked {
		rows[i] = m.row
	}
	return rows
}

// mark marks the copies that there are, but those marked already, and returns all.
func (rm *Removal) mark(ctx context.Context, marked []marking) ([]marking, error) {
	rows, err := rm.r.ledger.Copies(ctx, rm.q.Digest)
	if err != nil {
		return marked, err
	}
	for _, c := range rows {
		if c.State == ledger.StateDeleting && c.OperationID == rm.q.OperationID {
			continue
		}
		claimed, won, err := rm.r.ledger.DeleteCopy(ctx, c.Key, rm.q.OperationID, rm.r.o.Lease)
		switch {
		case errors.Is(err, ledger.ErrNotFound): // deleted by somebody else, just now
			continue
		case err != nil:
			return marked, err
		}
		m := marking{
			row: claimed, mine: won,
			// A fence that has grown by more than this claim says that an upload was begun
			// since the row was read.
			late: won && (c.State == ledger.StateUploading || claimed.Fence > c.Fence+1),
		}
		if i := indexOfKey(marked, c.Key); i >= 0 {
			marked[i] = m // made anew after another had deleted it
		} else {
			marked = append(marked, m)
		}
	}
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

// markRest marks what was begun before the blob was released, for as long as it
// takes: nobody could ask for it again, since the blob is gone.
func (rm *Removal) markRest(ctx context.Context, marked []marking) []marking {
	for attempt := 1; ; attempt++ {
		var err error
		if marked, err = rm.mark(ctx, marked); err == nil {
			return marked
		}
		if ctx.Err() == nil {
			rm.r.log.Warn().Err(err).Str("operation_id", rm.q.OperationID).Stringer("digest", rm.q.Digest).Msg("could not look for copies of a deleted blob; trying again")
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

// remove deletes what was marked, all at once: each account has limits of its own.
// It returns the rows as they then are.
func (rm *Removal) remove(ctx context.Context, marked []marking) []ledger.Copy {
	rows := rowsOf(marked)
	var workers sync.WaitGroup
	for i, m := range marked {
		if !m.mine || m.late {
			continue
		}
		workers.Go(func() {
			row, err := rm.r.removeAnywhere(ctx, m.row)
			rows[i] = row
			if err != nil { // the index's: the lease runs out, and the queue goes on
				rm.r.log.Warn().Err(err).Str("operation_id", m.row.OperationID).Stringer("copy", m.row.Key).Msg("could not record a delete; trying again later")
			}
		})
	}
	workers.Wait()
	goesOn := false
	for _, c := range rows {
		goesOn = goesOn || c.State == ledger.StateDeleting && c.OperationID == rm.q.OperationID
	}
	switch {
	case goesOn:
		rm.r.requesters.add(rm.q, false)
	case len(rows) > 0:
		rm.r.report(Event{Kind: EventDeleted, OperationID: rm.q.OperationID, Copy: rows[len(rows)-1], Start: rm.began})
	}
	return rows
}

// removeAnywhere is remove for a copy at whichever account it is. Of one whose key
// this gateway doesn't have, only that which has no remote file can be deleted.
func (r *Replicator) removeAnywhere(ctx context.Context, c ledger.Copy) (ledger.Copy, error) {
	p, ok := r.accounts[c.Provider]
	if ok && p.Describe().Account == c.Account {
		return r.remove(ctx, p, c)
	}
	if c.FileID == "" && !c.Uncertain {
		return r.remove(ctx, nil, c)
	}
	return r.postpone(ctx, c, &providers.Error{
		Provider: c.Provider, Op: providers.OpCheck, Kind: providers.KindAuth, Code: providers.CodeNotConfigured,
		Message: fmt.Sprintf("there is no key for the account %s that the copy is at", c.Account),
		Hint:    "configure that account's key again, and the copy is deleted; or delete the file there by hand",
	}), nil
}
