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

// makeCopy makes a copy that this process has claimed, and records the outcome. It
// returns the new row, whose State and NextAttemptAt say whether and when to try
// again.
func (r *Replicator) makeCopy(ctx context.Context, j job, claimed ledger.Copy) (ledger.Copy, error) {
	r.o.OnStep(StepClaimed)
	leased, release := r.holdLease(ctx, claimed)
	c, f, err := r.attempt(leased, j, claimed)
	lost := release()
	switch {
	case err == nil:
		r.o.OnStep(StepCompleted)
		if claimed.FileID != "" && claimed.FileID != c.FileID {
			r.discard(j, claimed.FileID) // the renewal replaces it
		}
		return c, nil
	case lost || errors.Is(err, errLeaseLost):
		r.yield(ctx, j, claimed, f)
		return claimed, errLeaseLost
	}
	r.metrics.count(claimed.Provider, outcomeFailed)
	return r.recordFailure(ctx, j, c, f, err) // c may be processing by now
}

// attempt tries once to make the copy. It returns the completed row, or the error with
// the remote file if one was made.
func (r *Replicator) attempt(ctx context.Context, j job, c ledger.Copy) (ledger.Copy, providers.RemoteFile, error) {
	var f providers.RemoteFile
	var err error
	if c.State == ledger.StateUnverified {
		if f, err = r.verifyEntered(ctx, j, c); err != nil {
			return c, f, err
		}
	} else if c.State == ledger.StateProcessing {
		f = providers.RemoteFile{ID: c.FileID, Name: c.RemoteName, Size: c.Size, Purpose: c.Purpose, ExpiresAt: c.ExpiresAt, Status: providers.StatusProcessing}
	} else if f, err = r.findOrUpload(ctx, j, c); err != nil {
		return c, f, err
	}
	if f.Status == providers.StatusProcessing {
		if c.State != ledger.StateProcessing {
			if c, err = r.complete(ctx, c, f); err != nil {
				return c, f, err
			}
			r.o.OnStep(StepProcessed)
		}
		if f, err = r.awaitReady(ctx, j, f); err != nil {
			return c, f, err
		}
	}
	if f.Status == providers.StatusFailed {
		r.discard(j, f.ID)
		return c, providers.RemoteFile{}, &providers.Error{
			Provider: c.Provider, Op: providers.OpUpload, Kind: providers.KindPermanent, Code: "processing_failed",
			Message: cmp.Or(f.Detail, "the provider could not process the file"),
			Hint:    "check that the file is whole and of the kind its name says",
		}
	}
	c, err = r.complete(ctx, c, f)
	return c, f, err
}

// complete records the remote file. It repeats a write of unknown outcome, which is safe
// with the same fence.
func (r *Replicator) complete(ctx context.Context, c ledger.Copy, f providers.RemoteFile) (ledger.Copy, error) {
	// The file exists. A cancellation of the work must not make it an orphan.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.o.Lease)
	defer cancel()
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, 2*time.Second) {
		done, held, err := r.ledger.Change(ctx, ledger.Complete(c.Key, c.Fence, f))
		switch {
		case err == nil && held:
			return done, nil
		case err == nil:
			return c, errLeaseLost
		}
		select {
		case <-ctx.Done():
			return c, fmt.Errorf("the provider has the file, but the index could not record it: %w", err)
		case <-time.After(delay):
		}
	}
}
