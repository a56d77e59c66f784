package replicator

import (
	"context"
	"errors"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// holdLease extends the lease of a claim until release is called. The returned context
// ends when the lease is lost or could not be extended in time. Release reports that.
func (r *Replicator) holdLease(ctx context.Context, claimed ledger.Copy) (leased context.Context, release func() (lost bool)) {
	leased, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		held := time.Now()
		tick := time.NewTicker(r.o.Lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-leased.Done():
				return
			case <-tick.C:
			}
			asked := time.Now()
			_, ok, err := r.ledger.Change(leased, ledger.ExtendLease(claimed.Key, claimed.Fence, r.o.Lease))
			switch {
			case err == nil && ok:
				held = asked
			case err == nil || time.Since(held) > r.o.Lease:
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

// yield leaves the row to the gateway that claimed it. It waits until the row has
// settled, since the other gateway may adopt the file that was made here. Then it
// deletes that file if the row doesn't name it.
func (r *Replicator) yield(ctx context.Context, j job, c ledger.Copy, f providers.RemoteFile) {
	end, err := r.begin()
	if err != nil {
		return // a reconcile finds a file that is left
	}
	go func() {
		defer end()
		ctx, cancel := context.WithTimeout(ctx, processingLimit)
		defer cancel()
		for {
			changed, release := r.changes.wait(c.Digest)
			now, err := r.ledger.Copy(ctx, c.Key)
			if settled := err == nil && now.State.Settled(); settled || errors.Is(err, ledger.ErrNotFound) {
				release()
				if f.ID != "" && now.FileID != f.ID {
					r.discard(j, f.ID)
				}
				if f.ID == "" {
					r.discardUnknown(ctx, j, c, now.FileID)
				}
				return
			}
			err = r.await(ctx, now, changed)
			release()
			if err != nil {
				r.log.Warn().Err(err).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Str("file", f.ID).Msg("a remote file may be left; a reconcile will find it")
				return
			}
		}
	}()
}
