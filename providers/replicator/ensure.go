package replicator

import (
	"context"
	"errors"
	"time"

	"casgate/providers/ledger"
)

// Ensure returns a usable copy, and uploads one only if there is none. Created reports
// whether this call made it. For any number of callers in any number of gateways, one
// upload reaches the provider.
//
// The work goes on if a caller's context ends. If the context's deadline passed, the
// error wraps ErrCopyInProgress, and the copy has the present state.
//
// Errors: an *Error, ErrProviderNotFound, ErrCopyInProgress, and those of
// cas.Store.
func (r *Replicator) Ensure(ctx context.Context, q Request) (c ledger.Copy, created bool, err error) {
	j, err := r.plan(ctx, q)
	if err != nil {
		return ledger.Copy{}, false, err
	}
	return r.ensure(ctx, j)
}

// ensure is Ensure for a planned request.
func (r *Replicator) ensure(ctx context.Context, j job) (c ledger.Copy, created bool, err error) {
	known, err := r.ledger.Copy(ctx, j.wanted.Key)
	switch {
	case err == nil && j.wanted.Accepts(known, time.Now()):
		r.use(known)
		return known, false, nil
	case err != nil && !errors.Is(err, ledger.ErrNotFound):
		return ledger.Copy{}, false, err
	}
	j.wanted.Existing = err == nil && !isDeleted(known)
	if err := j.description.Check(j.purpose, j.wanted.Extension, j.wanted.Size); err != nil {
		return ledger.Copy{}, false, err
	}
	if err := unavailable(j.provider); err != nil {
		if usable(known) {
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

// Begin makes sure that a copy exists or is being made, here or in another gateway. It
// doesn't wait for it. Errors are those of Ensure. If both a copy and an error are
// returned, the error is why the copy is not being made.
func (r *Replicator) Begin(ctx context.Context, q Request) (ledger.Copy, error) {
	j, err := r.plan(ctx, q)
	if err != nil {
		return ledger.Copy{}, err
	}
	c, err := r.ledger.Copy(ctx, j.wanted.Key)
	if err == nil && j.wanted.Accepts(c, time.Now()) {
		r.use(c)
		return c, nil
	}
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return ledger.Copy{}, err
	}
	if err := j.description.Check(j.purpose, j.wanted.Extension, j.wanted.Size); err != nil {
		return ledger.Copy{}, err
	}
	// Added before the row exists, since a gateway may claim the row at once.
	r.requesters.add(ctx, q, false)
	c, _, err = r.ledger.Change(ctx, ledger.Request(j.wanted))
	if err != nil || c.OperationID != q.OperationID || c.State.Settled() {
		r.requesters.remove(q.OperationID)
	}
	if err != nil {
		return ledger.Copy{}, err
	}
	r.wake()
	return c, idleError(c)
}
