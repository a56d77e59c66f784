package replicator

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/singleflight"

	"casgate/providers"
	"casgate/providers/ledger"
)

// join waits for the work on a copy, and begins it where this process isn't at it
// yet. The work does not end with any one caller.
func (r *Replicator) join(ctx context.Context, j job) (ledger.Copy, bool, error) {
	key := j.wanted.Key
	flight := fmt.Sprintf("%x %s %s %q %q %t", key.Digest[:], key.Provider, key.Account, key.Purpose, key.Extension, j.wanted.Retry)
	r.requesters.add(j.request, true)
	var leads bool // written by the one whose function runs, before its result is sent
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
			return take(<-done) // it has ended just now, and nobody else was told
		}
	}
	return r.detach(ctx, j)
}

// leave returns what a caller is told who doesn't wait any longer.
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
