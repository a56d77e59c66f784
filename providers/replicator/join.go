package replicator

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/singleflight"

	"casgate/cas/tracing"
	"casgate/providers"
	"casgate/providers/ledger"
)

// join waits for the work on a copy. It starts the work if this process isn't doing it
// yet. The work goes on if a caller leaves.
//
// A delete of the copy ends the work for those that asked before it. A caller that asked
// after it may have joined that work; then join begins anew.
func (r *Replicator) join(ctx context.Context, j job) (ledger.Copy, bool, error) {
	for {
		result, err := r.joinFlight(ctx, j)
		askedBefore := j.wanted.Existing || !j.asked.After(result.alive)
		switch {
		case errors.Is(err, errAbandoned): // by other callers, before this one came
		case errors.Is(err, providers.ErrCopyDeleted) && !askedBefore:
		default:
			return result.copy, result.made, err
		}
	}
}

// joinFlight is join for one piece of work.
func (r *Replicator) joinFlight(ctx context.Context, j job) (copyResult, error) {
	key := j.wanted.Key
	flight := fmt.Sprintf("%x %s %s %q %q %t", key.Digest[:], key.Provider, key.Account, key.Purpose, key.Extension, j.wanted.Retry)
	others := r.callers.enter(flight)
	defer r.callers.leave(flight, others)
	r.requesters.add(ctx, j.request, true)
	var leads bool // set by the caller whose function runs, before it sends the result
	done := r.flights.DoChan(flight, func() (any, error) {
		leads = true
		end, err := r.begin()
		if err != nil {
			return nil, err
		}
		defer end()
		return r.makeOrWait(tracing.Below(r.working, ctx), j, others.gone)
	})
	take := func(result singleflight.Result) (copyResult, error) {
		r.requesters.remove(j.wanted.OperationID)
		c, _ := result.Val.(copyResult)
		c.made = c.made && leads
		return c, result.Err
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
func (r *Replicator) detach(ctx context.Context, j job) (copyResult, error) {
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
			return copyResult{}, lookErr
		}
		err = fmt.Errorf("%w: %s is %s", providers.ErrCopyInProgress, j.wanted.Key, c.State)
	}
	if goesOn {
		err = Detached{err}
	}
	return copyResult{copy: c}, err
}
