package replicator

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/singleflight"

	"casgate/providers"
	"casgate/providers/ledger"
)

// join waits for the work on a copy. It starts the work if this process isn't doing it
// yet. The work goes on if a caller leaves.
func (r *Replicator) join(ctx context.Context, j job) (ledger.Copy, bool, error) {
	key := j.wanted.Key
	flight := fmt.Sprintf("%x %s %s %q %q %t", key.Digest[:], key.Provider, key.Account, key.Purpose, key.Extension, j.wanted.Retry)
	r.requesters.add(j.request, true)
	var leads bool // set by the caller whose function runs, before it sends the result
	done := r.flights.DoChan(flight, func() (any, error) {
		leads = true
		end, err := r.begin()
		if err != nil {
			return nil, err
		}
		defer end()
		return r.makeOrWait(r.working, j)
	})
	take := func(result singleflight.Result) (ledger.Copy, bool, error) {
		r.requesters.remove(j.wanted.OperationID)
		c, _ := result.Val.(copyResult)
		return c.copy, c.made && leads, result.Err
	}
	select {
	case result := <-done:
		return take(result)
	case <-ctx.Done():
		if r.requesters.stopWaiting(j.wanted.OperationID) {
			return take(<-done) // it has just ended, and no event was sent
		}
	}
	return r.detach(ctx, j)
}

// detach returns the result for a caller that stops waiting.
func (r *Replicator) detach(ctx context.Context, j job) (ledger.Copy, bool, error) {
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeepingTimeout)
	defer cancel()
	c, lookErr := r.ledger.Copy(look, j.wanted.Key)
	goesOn := j.request.Actor != "" && lookErr == nil && c.OperationID == j.wanted.OperationID
	if !goesOn {
		r.requesters.remove(j.wanted.OperationID)
	}
	err := context.Cause(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		if lookErr != nil && !errors.Is(lookErr, ledger.ErrNotFound) {
			return ledger.Copy{}, false, lookErr
		}
		err = fmt.Errorf("%w: %s is %s", providers.ErrCopyInProgress, j.wanted.Key, c.State)
	}
	if goesOn {
		err = Detached{err}
	}
	return c, false, err
}
