package replicator

import (
	"context"
	"errors"
	"time"

	"casgate/providers/ledger"
)

// copyResult is what comes of work on a copy.
type copyResult struct {
	copy ledger.Copy
	made bool // by this process, just now
}

// makeOrWait sees to it that the copy becomes ready: it does the work itself where it
// gets the claim, else it waits for whoever has it.
func (r *Replicator) makeOrWait(ctx context.Context, j job) (copyResult, error) {
	for first := true; ; first = false {
		if !first {
			// The blob may have been deleted with its copies, which is what was waited for.
			if err := r.blobs.Confirm(ctx, j.wanted.Digest); err != nil {
				return copyResult{}, err
			}
		}
		// Watched from before the look, so that no change falls between the two.
		changed, release := r.changes.wait(j.wanted.Digest)
		c, won, err := r.ledger.ClaimCopy(ctx, j.wanted, r.o.Lease)
		if err != nil {
			release()
			return copyResult{}, err
		}
		if won {
			release()
			began := time.Now()
			made, err := r.makeCopy(ctx, j, c)
			r.reportSynced(made, began, err)
			if err == nil {
				return copyResult{made, true}, nil
			}
			if errors.Is(err, errLeaseLost) {
				continue
			}
			// What failed is tried again right here only if that is soon.
			if made.State == ledger.StateReady {
				return copyResult{copy: made}, nil // a renewal failed, and the old copy is still good
			}
			if made.State != ledger.StatePending || untilDue(made) > patience {
				return copyResult{copy: made}, err
			}
			c = made
		}
		j.wanted.Retry = false // once
		if usable(c, j.wanted.Margin) {
			release()
			return copyResult{copy: c}, nil
		}
		if err := waitError(c); err != nil {
			release()
			return copyResult{copy: c}, err
		}
		err = r.await(ctx, c, changed)
		release()
		if err != nil {
			return copyResult{copy: c}, err
		}
	}
}
