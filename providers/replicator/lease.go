package replicator

import (
	"context"
	"errors"
	"time"

	"casgate/providers/ledger"
)

// holdLease extends the lease of a claim until release is called. The returned context
// ends when another client claims the row, or deletes it, or when the lease could not be
// extended in time. Release reports that.
func (r *Replicator) holdLease(ctx context.Context, claimed ledger.Copy) (leased context.Context, release func() (lost bool)) {
	leased, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		end := time.NewTimer(r.o.Lease) // the work must not outlast the lease
		defer end.Stop()
		tick := time.NewTicker(r.o.Lease / 3)
		defer tick.Stop()
		for held := time.Now(); ; {
			changed, unwatch := r.changes.wait(claimed.Digest)
			lost := false
			select {
			case <-leased.Done():
				unwatch()
				return
			case <-end.C:
				lost = true
			case <-changed:
				lost = r.isTaken(leased, claimed)
			case <-tick.C:
				asked := time.Now()
				call, stop := context.WithDeadline(leased, held.Add(r.o.Lease))
				_, ok, err := r.ledger.Change(call, ledger.ExtendLease(claimed.Key, claimed.Fence, r.o.Lease))
				stop()
				if lost = err == nil && !ok; err == nil && ok {
					held = asked
					end.Reset(time.Until(held.Add(r.o.Lease)))
				}
			}
			unwatch()
			if lost {
				cancel(errLeaseLost)
				return
			}
		}
	}()
	return leased, func() bool {
		cancel(nil)
		<-ended
		return errors.Is(context.Cause(leased), errLeaseLost)
	}
}

// isTaken reports whether another client has claimed a row, or deleted it.
func (r *Replicator) isTaken(ctx context.Context, claimed ledger.Copy) bool {
	now, err := r.ledger.Copy(ctx, claimed.Key)
	if err != nil {
		return errors.Is(err, ledger.ErrNotFound)
	}
	return now.Fence != claimed.Fence
}

// yield leaves the row to the client that claimed it. The row has a stray for this
// attempt. If nothing can come of the attempt, yield takes the stray off. If the attempt
// has made a file, yield deletes the file, unless the other client adopts it. Otherwise
// the stray stays.
func (r *Replicator) yield(ctx context.Context, claimed ledger.Copy, o outcome) {
	end, err := r.begin()
	if err != nil {
		return // the stray stays
	}
	look := ledger.Look{Fences: []int64{claimed.Fence}}
	made := o.file.ID
	if o.givenUp != "" {
		made = o.givenUp
	}
	switch {
	case made != "" && o.adopted == 0:
		look.GivenUp = []ledger.Stray{{Fence: claimed.Fence, FileID: made}}
	case o.mayTurnUp:
		end()
		return
	}
	go func() {
		defer end()
		ctx, cancel := context.WithTimeout(ctx, processingLimit)
		defer cancel()
		r.noteOwn(ctx, claimed, look)
		r.wake()
	}()
}

// noteOwn records what became of an attempt that has lost its row. It waits while the
// other client may adopt the file. Then it deletes the file if the row doesn't name it.
func (r *Replicator) noteOwn(ctx context.Context, claimed ledger.Copy, look ledger.Look) {
	for {
		changed, release := r.changes.wait(claimed.Digest)
		now, done := r.noteLook(claimed, 0, look)
		named := len(look.GivenUp) > 0 && now.FileID == look.GivenUp[0].FileID
		switch {
		case done:
			release()
			if p, err := r.account(claimed.Provider); err == nil {
				r.deleteGivenUp(p, now)
			}
			return
		case named:
			release()
			return
		}
		err := r.await(ctx, now, changed)
		release()
		if err != nil {
			r.log.Warn().Err(err).Str("operation_id", claimed.OperationID).Stringer("copy", claimed.Key).Msg("a remote file may be left; looking for it later")
			return
		}
	}
}
