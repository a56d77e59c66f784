package replicator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// copyResult is the result of work on a copy.
type copyResult struct {
	copy ledger.Copy
	made bool // this process has just made it
	// alive is when this process last saw that the copy was not deleted, or not by a
	// delete that came later than the work.
	alive time.Time
}

// makeOrWait returns when the copy is ready. It makes the copy itself if it gets the
// claim; otherwise it waits for the gateway that has the claim. A copy that was deleted
// after makeOrWait has seen it, or its caller (Wanted.Existing), is not made again.
//
// While the copy is being deleted, makeOrWait waits for the end of that only as long as
// a caller waits, which is until gone is closed. A further delete ends it too.
//
// The breaker of a provider, or its limits, may refuse every call. After as many refusals as a copy
// has attempts, makeOrWait returns the error, and the copy stays pending.
func (r *Replicator) makeOrWait(ctx context.Context, j job, gone <-chan struct{}) (copyResult, error) {
	refusals, started := 0, time.Now()
	var alive time.Time
	for first := true; ; first = false {
		if !first {
			// It may have waited for a delete of the blob and its copies.
			if err := r.blobs.Confirm(ctx, j.wanted.Digest); err != nil {
				return copyResult{}, err
			}
		}
		// Watch before reading, so that no change is missed.
		changed, release := r.changes.wait(j.wanted.Digest)
		room := r.censuses.room(j.description.Account)
		place, won, err := room.enter(ctx, func() (ledger.Copy, bool, error) {
			return r.ledger.Change(ctx, ledger.Claim(j.wanted, r.o.Lease))
		})
		if err != nil {
			release()
			return copyResult{}, err
		}
		c := place.copy
		if !won && isDeleted(c) && isDeletedLater(j.wanted, c) {
			release()
			err := deletedError(c)
			r.report(Event{Kind: EventSynced, OperationID: j.wanted.OperationID, Copy: c, Start: started, Err: err})
			return copyResult{copy: c, alive: alive}, err
		}
		alive = time.Now()
		if won || !isDeleted(c) {
			j.wanted.Existing = true
		} else {
			j.wanted.AfterDelete = c.LastDelete()
		}
		if won {
			release()
			began := time.Now()
			j.place = place
			made, err := r.makeCopy(ctx, j, c)
			r.reportSynced(made, began, err)
			if err == nil {
				return copyResult{copy: made, made: true}, nil
			}
			if errors.Is(err, errLeaseLost) {
				continue
			}
			// A failed copy is tried again here only if that is soon.
			if made.State == ledger.StateReady {
				return copyResult{copy: made}, nil // a renewal failed, and the old copy is still good
			}
			if made.State != ledger.StatePending || untilDue(made) > patience {
				return copyResult{copy: made}, err
			}
			if notMade(err) {
				if refusals++; refusals >= r.o.MaxAttempts {
					return copyResult{copy: made}, err
				}
			}
			c = made
		}
		j.wanted.Retry = false // once
		if j.wanted.Accepts(c, time.Now()) {
			release()
			return copyResult{copy: c}, nil
		}
		if err := waitError(c); err != nil {
			release()
			return copyResult{copy: c}, err
		}
		waits, end := ctx, func() {}
		if !won && isDeleted(c) {
			waits, end = endsWith(ctx, gone)
		}
		err = r.await(waits, c, changed)
		end()
		release()
		if err != nil {
			return copyResult{copy: c}, err
		}
	}
}

// endsWith returns a context that also ends, with errAbandoned, when gone is closed. The
// caller ends it.
func endsWith(ctx context.Context, gone <-chan struct{}) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-gone:
			cancel(errAbandoned)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// isDeletedLater reports whether a deleted copy was deleted after it was asked for.
func isDeletedLater(w ledger.Wanted, c ledger.Copy) bool {
	return w.Existing || w.AfterDelete != "" && c.LastDelete() != w.AfterDelete
}

// isDeleted reports whether a copy was deleted on request, or is being deleted.
func isDeleted(c ledger.Copy) bool {
	return c.State == ledger.StateDeleted || c.State == ledger.StateDeleting && !c.Evicting
}

// deletedError returns the error for those that had asked for a copy before it was
// deleted.
func deletedError(c ledger.Copy) error {
	return fmt.Errorf("%w: %s; ask for it again if it is still needed", providers.ErrCopyDeleted, c.Key)
}
