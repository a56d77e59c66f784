package replicator

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

const (
	// The delays between attempts double from the first to the last, with jitter.
	firstDelay = 500 * time.Millisecond
	lastDelay  = 5 * time.Minute
	// fullDelay is how long a full or unpaid account is not tried again, even if clients
	// ask for the copy. authDelay is the same for a refused key.
	fullDelay = time.Minute
	authDelay = 10 * time.Second
)

// recordFailure classifies a failed attempt and records it. It returns the new row.
func (r *Replicator) recordFailure(ctx context.Context, p *place, o outcome, cause error) (ledger.Copy, error) {
	c, f := o.row, r.classifyFailure(ctx, o, cause)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeepingTimeout)
	defer cancel()
	var failed ledger.Copy
	var held bool
	err := p.leave(ctx, func() (err error) {
		failed, held, err = r.ledger.Change(ctx, ledger.Fail(c.Key, c.Fence, f))
		return err
	})
	switch {
	case err != nil:
		// The lease runs out, and the next claim searches for the file first.
		r.log.Error().Err(err).Str("operation_id", c.OperationID).Stringer("copy", c.Key).AnErr("cause", cause).Msg("could not record a failed upload")
		return c, cause
	case !held:
		return c, errLeaseLost
	}
	r.log.Warn().Err(cause).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Str("state", string(failed.State)).Int("attempts", failed.Attempts).Msg("copy failed")
	return failed, cause
}

// classifyFailure turns the error of an attempt into the Failure that the ledger records:
// the next state, the time of the next attempt, and which remote files are left.
func (r *Replicator) classifyFailure(ctx context.Context, o outcome, cause error) ledger.Failure {
	c, e := o.row, asError(cause, o.row.Provider, providers.OpUpload)
	fault, own := providers.GatewayFault(cause)
	f := ledger.Failure{State: ledger.StatePending, Error: e, Again: true, After: cmp.Or(e.RetryAfter, backoffDelay(c.Attempts))}
	f.MayTurnUp, f.GivenUp = o.mayTurnUp, o.givenUp
	if c.State == ledger.StateUploading {
		f.Began = c.LeaseUntil.Add(-r.o.Lease) // the claim
	}
	if o.file.ID != "" && e.Kind != providers.KindLost && e.Kind != providers.KindPermanent {
		f.MayTurnUp = true // the file exists, and the next attempt finds it
	}
	switch {
	case e.Kind == providers.KindLost && c.State == ledger.StateUnverified: // upload it now
		f.After = 0
		return f
	case ctx.Err() != nil: // this gateway stops; another one, or the next start, continues
		f.After = 0
		return f
	case fault == providers.CodeIndexUnavailable:
		f.Error = &providers.Error{
			Provider: c.Provider, Op: providers.OpUpload, Kind: providers.KindTransient, Code: fault,
			Message: "the gateway's index did not answer",
		}
	case fault == providers.CodeStoreUnavailable: // the copy waits for the store, however long
		f.Error = &providers.Error{
			Provider: c.Provider, Op: providers.OpUpload, Kind: providers.KindTransient, Code: fault,
			Message: "the gateway's object store did not answer",
		}
	case own:
		f.State, f.After = ledger.StateFailed, time.Second
		f.Error = &providers.Error{
			Provider: c.Provider, Op: providers.OpUpload, Kind: providers.KindTransient, Code: fault,
			Message: "the gateway's own bytes could not be read",
			Hint:    "upload the blob to the gateway again if it is damaged or missing",
		}
	case e.Kind == providers.KindPermanent:
		f.State, f.Again = ledger.StateFailed, false
	case e.Kind == providers.KindQuota:
		f.State, f.After = ledger.StateFailed, max(e.RetryAfter, fullDelay)
	case e.Kind == providers.KindAuth:
		f.State, f.After = ledger.StateFailed, max(e.RetryAfter, authDelay)
	case notMade(e), isLook(e): // no attempt was made; wait for the provider, or for a delete that makes room
	case c.Attempts >= r.o.MaxAttempts:
		f.State, f.After = ledger.StateFailed, max(e.RetryAfter, fullDelay)
	}
	if f.State == ledger.StatePending && !f.MayTurnUp && len(c.MayTurnUp()) == 0 {
		// If a file may be left, the next attempt searches for it before it sends anything.
		f.After = max(f.After, r.budget.wait(c.Key))
	}
	if old := c; old.FileID != "" && old.State == ledger.StateUploading {
		old.State = ledger.StateReady
		if usable(old) {
			f.State = ledger.StateReady
		}
	}
	return f
}

// mayHaveStored reports whether a failed upload, of which the whole content was sent, may
// have stored the file.
func mayHaveStored(err error) bool {
	if _, own := providers.GatewayFault(err); own {
		return false // the provider never got the whole content
	}
	e, ok := errors.AsType[*providers.Error](err)
	if !ok || e.Kind == providers.KindUnknown {
		return true
	}
	// A server that failed during the upload may have stored the file, and so may the server
	// behind a proxy that answers 503.
	return e.Kind == providers.KindTransient && e.Status >= 500 && !e.NotBegun
}

// backoffDelay returns the wait after this number of attempts.
func backoffDelay(attempts int) time.Duration {
	delay := firstDelay << min(max(attempts-1, 0), 16)
	delay = min(delay, lastDelay)
	return delay/2 + rand.N(delay/2)
}

// asError returns the *Error in cause, or makes one. An error of another type comes from
// the gateway itself. It may name hosts and files, which belong into the log only.
func asError(cause error, provider string, op providers.Op) *providers.Error {
	if e, ok := errors.AsType[*providers.Error](cause); ok {
		return e
	}
	return &providers.Error{
		Provider: provider, Op: op, Kind: providers.KindUnknown, Code: "gateway",
		Message: "something failed in the gateway; its log has the details", Hint: "try again shortly",
	}
}
