package replicator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"casgate/cas/tracing"
	"casgate/providers"
	"casgate/providers/ledger"
)

// outcome is the result of an attempt to make a copy.
type outcome struct {
	row  ledger.Copy          // as the attempt knows it
	file providers.RemoteFile // made or adopted; zero if there is none
	// adopted is the fence of the attempt that made the file; 0 if this attempt did.
	adopted int64
	// mayTurnUp: an upload failed that may have stored the file.
	mayTurnUp bool
	// givenUp is the id of a file that this attempt made and that is of no use.
	givenUp string
}

// makeCopy makes a copy that this process has claimed, and records the outcome. It
// returns the new row, whose State and NextAttemptAt say whether and when to try
// again.
func (r *Replicator) makeCopy(ctx context.Context, j job, claimed ledger.Copy) (ledger.Copy, error) {
	ctx, span := tracing.Start(ctx, "make copy")
	defer span.End()
	describe(span, claimed)
	made, err := r.tryCopy(ctx, j, claimed)
	if err != nil {
		span.Fail(failureWord(err))
	}
	return made, err
}

// describe names the copy that a span is about.
func describe(s tracing.Span, c ledger.Copy) {
	s.Set(tracing.OperationID, c.OperationID)
	s.Set(tracing.Provider, c.Provider)
	s.Set(tracing.Purpose, c.Purpose)
}

// failureWord returns why a copy was not made, in a word.
func failureWord(err error) string {
	if errors.Is(err, errLeaseLost) {
		return "lease_lost"
	}
	return string(providers.KindOf(err))
}

// tryCopy is makeCopy, without its span.
func (r *Replicator) tryCopy(ctx context.Context, j job, claimed ledger.Copy) (ledger.Copy, error) {
	r.o.OnStep(StepClaimed)
	leased, release := r.holdLease(ctx, claimed)
	o := outcome{row: claimed}
	defer j.place.remove()
	err := r.attempt(leased, j, &o)
	lost := release()
	switch {
	case err == nil:
		r.o.OnStep(StepCompleted)
		if o.adopted != 0 {
			r.noteLook(o.row, 0, ledger.Look{Fences: []int64{o.adopted}})
		}
		r.deleteGivenUp(j.provider, o.row)
		return o.row, nil
	case lost || errors.Is(err, errLeaseLost):
		r.yield(ctx, claimed, o)
		return claimed, errLeaseLost
	}
	r.metrics.count(claimed.Provider, outcomeFailed)
	failed, err := r.recordFailure(ctx, j.place, o, err)
	if errors.Is(err, errLeaseLost) {
		r.yield(ctx, claimed, o)
		return claimed, err
	}
	r.deleteGivenUp(j.provider, failed)
	return failed, err
}

// attempt tries once to make the copy. It records the result, or what it knows of it if
// there is an error.
func (r *Replicator) attempt(ctx context.Context, j job, o *outcome) error {
	var err error
	switch c := o.row; c.State {
	case ledger.StateUnverified:
		o.file, err = r.verifyEntered(ctx, j, c)
	case ledger.StateProcessing:
		o.file = fileOf(c)
	default:
		err = r.findOrUpload(ctx, j, o)
	}
	if err != nil {
		return err
	}
	if o.file.Status == providers.StatusProcessing {
		if o.row.State != ledger.StateProcessing {
			if err = r.complete(ctx, j.place, o); err != nil {
				return err
			}
			r.o.OnStep(StepProcessed)
		}
		if o.file, err = r.awaitReady(ctx, j, o.row); err != nil {
			return err
		}
	}
	if f := o.file; f.Status == providers.StatusFailed {
		o.file, o.givenUp = providers.RemoteFile{}, f.ID
		return &providers.Error{
			Provider: o.row.Provider, Op: providers.OpUpload, Kind: providers.KindPermanent, Code: cmp.Or(f.Code, "processing_failed"),
			Message: cmp.Or(f.Detail, "the provider could not process the file"),
			Hint:    "check that the file is whole and of the kind its name says",
		}
	}
	return r.complete(ctx, j.place, o)
}

// complete records the remote file. It repeats a write of unknown outcome, which is safe
// with the same fence.
func (r *Replicator) complete(ctx context.Context, p *place, o *outcome) error {
	// The file exists. A cancellation of the work must not make it an orphan.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.o.Lease)
	defer cancel()
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, 2*time.Second) {
		var done ledger.Copy
		var held bool
		err := p.leave(ctx, func() (err error) {
			done, held, err = r.ledger.Change(ctx, ledger.Complete(o.row.Key, o.row.Fence, o.file))
			return err
		})
		switch {
		case err == nil && held:
			o.row = done
			return nil
		case err == nil:
			return errLeaseLost
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the provider has the file, but the index could not record it: %w", err)
		case <-time.After(delay):
		}
	}
}
