package replicator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"

	"casgate/providers"
	"casgate/providers/ledger"
)

const (
	// patience is how long work that somebody waits for rests between two attempts; a
	// longer delay is left to the queue, and the caller told of the failure.
	patience = 5 * time.Second
	// pollWait is how often a row that another gateway works on is looked at, in case
	// its announcement got lost.
	pollWait = time.Second
	// bookkeepingTimeout bounds what is written after the work's own context ended.
	bookkeepingTimeout = 10 * time.Second
)

// Ensure returns a usable copy, and uploads one only where there is none. Created
// reports whether this call is the one that made it. However many callers ask, in
// however many gateways, one upload reaches the provider.
//
// A caller whose context ends leaves the work under way. Where it was its
// deadline that ended, the error wraps ErrCopyInProgress, and the copy tells how
// far it is.
//
// Errors: an *Error, ErrProviderNotFound, ErrCopyInProgress, and those of
// cas.Store.
func (r *Replicator) Ensure(ctx context.Context, q Request) (c ledger.Copy, created bool, err error) {
	j, err := r.plan(ctx, q)
	if err != nil {
		return ledger.Copy{}, false, err
	}
	known, err := r.ledger.Copy(ctx, j.wanted.Key)
	switch {
	case err == nil && usable(known, j.wanted.Margin):
		r.use(known)
		return known, false, nil
	case err != nil && !errors.Is(err, ledger.ErrNotFound):
		return ledger.Copy{}, false, err
	}
	if err := j.about.Check(j.purpose, j.wanted.Extension, j.wanted.Size); err != nil {
		return ledger.Copy{}, false, err
	}
	if err := unavailable(j.provider); err != nil {
		if usable(known, 0) {
			r.use(known)
			return known, false, nil
		}
		return ledger.Copy{}, false, err
	}
	c, created, err = r.join(ctx, j)
	if err == nil {
		r.use(c)
	}
	return c, created, err
}

// Begin makes sure that a copy is being made, here or elsewhere, or is there, and
// doesn't wait for it. Errors are those of Ensure; one that comes with a copy says
// why nobody works on it.
func (r *Replicator) Begin(ctx context.Context, q Request) (ledger.Copy, error) {
	j, err := r.plan(ctx, q)
	if err != nil {
		return ledger.Copy{}, err
	}
	c, err := r.ledger.Copy(ctx, j.wanted.Key)
	if err == nil && usable(c, j.wanted.Margin) {
		r.use(c)
		return c, nil
	}
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return ledger.Copy{}, err
	}
	if err := j.about.Check(j.purpose, j.wanted.Extension, j.wanted.Size); err != nil {
		return ledger.Copy{}, err
	}
	// Noted before the row is there, which somebody may take up at once.
	r.asked.enter(q, false)
	c, err = r.ledger.RequestCopy(ctx, j.wanted)
	if err != nil || c.OperationID != q.OperationID || c.State.Settled() {
		r.asked.drop(q.OperationID)
	}
	if err != nil {
		return ledger.Copy{}, err
	}
	r.wake()
	return c, resting(c)
}

// use notes that a copy is handed out.
func (r *Replicator) use(c ledger.Copy) {
	r.uses.note(c.Key)
	r.metrics.count(c.Provider, outcomeHit)
}

// unavailable returns an error, at once, while a provider's breaker is open.
func unavailable(p providers.Guarded) error {
	h := p.Health()
	if h.Breaker != providers.BreakerOpen {
		return nil
	}
	e := &providers.Error{
		Provider: p.Describe().Provider, Op: providers.OpCheck, Kind: providers.KindTransient, Code: providers.CodeUnavailable,
		Message: "the provider failed too often lately and is left alone for a while", RetryAfter: max(h.RetryAfter, time.Second),
		Hint: "try again shortly; it is being checked in the background",
	}
	if h.LastError != nil {
		e.Message += " (last: " + h.LastError.Error() + ")"
	}
	return e
}

// join waits for the work on a copy, and begins it where this process isn't at it
// yet. The work does not end with any one caller.
func (r *Replicator) join(ctx context.Context, j job) (ledger.Copy, bool, error) {
	key := j.wanted.Key
	flight := fmt.Sprintf("%x %s %s %q %q %t", key.Digest[:], key.Provider, key.Account, key.Purpose, key.Extension, j.wanted.Retry)
	r.asked.enter(j.request, true)
	var leads bool // written by the one whose function runs, before its result is sent
	done := r.flights.DoChan(flight, func() (any, error) {
		leads = true
		end, err := r.begin()
		if err != nil {
			return nil, err
		}
		defer end()
		return r.pursue(r.working, j)
	})
	take := func(result singleflight.Result) (ledger.Copy, bool, error) {
		r.asked.drop(j.wanted.OperationID)
		c, _ := result.Val.(outcome)
		return c.copy, c.made && leads, result.Err
	}
	select {
	case result := <-done:
		return take(result)
	case <-ctx.Done():
		if r.asked.leave(j.wanted.OperationID) {
			return take(<-done) // it has ended just now, and nobody else was told
		}
	}
	return r.leave(ctx, j)
}

// leave returns what a caller is told who doesn't wait any longer.
func (r *Replicator) leave(ctx context.Context, j job) (ledger.Copy, bool, error) {
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeepingTimeout)
	defer cancel()
	c, lookErr := r.ledger.Copy(look, j.wanted.Key)
	goesOn := j.request.Actor != "" && lookErr == nil && c.OperationID == j.wanted.OperationID
	if !goesOn {
		r.asked.drop(j.wanted.OperationID)
	}
	err := context.Cause(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		if lookErr != nil && !errors.Is(lookErr, ledger.ErrNotFound) {
			return ledger.Copy{}, false, lookErr
		}
		err = fmt.Errorf("%w: %s is %s", providers.ErrCopyInProgress, j.wanted.Key, c.State)
	}
	if goesOn {
		err = Left{err}
	}
	return c, false, err
}

// outcome is what comes of work on a copy.
type outcome struct {
	copy ledger.Copy
	made bool // by this process, just now
}

// pursue sees to it that the copy becomes ready: it does the work itself where it
// gets the claim, else it waits for whoever has it.
//
// A provider whose breaker lets nothing through is not asked for ever: after as many
// refusals as a copy has attempts the caller gets the error, and the copy stays pending.
func (r *Replicator) pursue(ctx context.Context, j job) (outcome, error) {
	refusals := 0
	for first := true; ; first = false {
		if !first {
			// The blob may have been deleted with its copies, which is what was waited for.
			if err := r.blobs.Confirm(ctx, j.wanted.Digest); err != nil {
				return outcome{}, err
			}
		}
		// Watched from before the look, so that no change falls between the two.
		changed, release := r.changes.wait(j.wanted.Digest)
		c, won, err := r.ledger.ClaimCopy(ctx, j.wanted, r.o.Lease)
		if err != nil {
			release()
			return outcome{}, err
		}
		if won {
			release()
			began := time.Now()
			made, err := r.work(ctx, j, c)
			r.tellSynced(made, began, err)
			if err == nil {
				return outcome{made, true}, nil
			}
			if errors.Is(err, errLeaseLost) {
				continue
			}
			// What failed is tried again right here only if that is soon.
			if made.State == ledger.StateReady {
				return outcome{copy: made}, nil // a renewal failed, and the old copy is still good
			}
			if made.State != ledger.StatePending || untilDue(made) > patience {
				return outcome{copy: made}, err
			}
			if e, ok := errors.AsType[*providers.Error](err); ok && e.Code == providers.CodeUnavailable {
				if refusals++; refusals >= r.o.MaxAttempts {
					return outcome{copy: made}, err
				}
			}
			c = made
		}
		j.wanted.Retry = false // once
		if usable(c, j.wanted.Margin) {
			release()
			return outcome{copy: c}, nil
		}
		if err := givenUp(c); err != nil {
			release()
			return outcome{copy: c}, err
		}
		err = r.await(ctx, c, changed)
		release()
		if err != nil {
			return outcome{copy: c}, err
		}
	}
}

// givenUp returns the error to answer with where waiting for a row is of no use.
func givenUp(c ledger.Copy) error {
	soon := time.Until(c.LeaseUntil) > 0 || untilDue(c) <= patience
	switch {
	case soon && (c.State == ledger.StatePending || c.State == ledger.StateDeleting):
		return nil
	case c.State == ledger.StatePending: // it will be tried again, but not soon
		e := lastError(c)
		e.RetryAfter = max(untilDue(c), time.Second)
		return &e
	}
	return resting(c)
}

// resting returns why nobody makes a copy that isn't there; nil where somebody does,
// or will.
func resting(c ledger.Copy) error {
	e := lastError(c)
	e.RetryAfter = 0
	if !c.NextAttemptAt.IsZero() {
		e.RetryAfter = max(untilDue(c), time.Second)
	}
	switch c.State {
	case ledger.StateFailed:
		return &e
	case ledger.StateLost:
		if untilDue(c) <= 0 {
			return nil
		}
		e.Kind, e.Code, e.Status = providers.KindLost, "kept_losing", 0
		e.Message = fmt.Sprintf("%s has lost the file %d times lately", c.Provider, c.Losses)
		e.Hint = "the account's files may be removed by somebody else; it is not uploaded again for a while"
		return &e
	case ledger.StateDeleting:
		return fmt.Errorf("%w: it is being deleted at %s, which has not confirmed it yet", providers.ErrCopyInProgress, c.Provider)
	}
	return nil
}

// lastError is why the last attempt failed.
func lastError(c ledger.Copy) providers.Error {
	if c.Error != nil {
		return *c.Error
	}
	return providers.Error{Provider: c.Provider, Op: providers.OpUpload, Kind: providers.KindTransient}
}

// untilDue returns how long it is until a row may be worked on; rows that are
// never due by themselves are due in a very long time.
func untilDue(c ledger.Copy) time.Duration {
	if c.NextAttemptAt.IsZero() {
		return 1 << 62
	}
	return time.Until(c.NextAttemptAt)
}

// await returns when a row may have changed, or is due, or its lease ran out.
func (r *Replicator) await(ctx context.Context, c ledger.Copy, changed <-chan struct{}) error {
	limit := pollWait
	if c.State == ledger.StatePending {
		// A little late rather than early: the database's clock decides.
		limit = min(limit, max(untilDue(c), 0)+10*time.Millisecond)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for %s: %w", c.Key, context.Cause(ctx))
	}
}
