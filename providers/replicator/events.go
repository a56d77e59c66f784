package replicator

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"casgate/providers/ledger"
)

// Detached wraps the error of a call whose caller stopped waiting, while the work goes on
// under the operation of its request. Options.OnEvent gets the end of that work.
type Detached struct{ error }

// Unwrap implements errors.Unwrap.
func (d Detached) Unwrap() error { return d.error }

// report calls OnEvent for the end of an operation, unless a caller gets the result.
func (r *Replicator) report(e Event) {
	by, taken := r.requesters.finish(e.OperationID)
	if taken {
		return
	}
	e.Actor, e.File = by.actor, by.file
	if !by.since.IsZero() {
		e.Start = by.since
	}
	r.o.OnEvent(e)
}

// reportSynced reports the end of work on a copy. Work that waits for its next attempt,
// or for another gateway, has not ended.
func (r *Replicator) reportSynced(c ledger.Copy, began time.Time, err error) {
	if errors.Is(err, errLeaseLost) || c.State != ledger.StateReady && c.State != ledger.StateFailed {
		return
	}
	r.report(Event{Kind: EventSynced, OperationID: c.OperationID, Copy: c, Start: began, Err: err})
}

// reportDeleted reports the end of the deletes that a copy was the last one of, except one
// whose caller takes the result.
func (r *Replicator) reportDeleted(ctx context.Context, c ledger.Copy, to reporting) {
	operations := slices.DeleteFunc(append([]string{c.OperationID}, c.LaterDeletes...), func(id string) bool { return id == to.taken })
	if len(operations) == 0 {
		return
	}
	rows, err := r.ledger.Copies(ctx, c.Digest)
	if err != nil {
		r.log.Warn().Err(err).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Msg("could not check whether a delete has ended; assuming that it has")
	}
	for _, id := range operations {
		if slices.ContainsFunc(rows, func(other ledger.Copy) bool { return other.State == ledger.StateDeleting && other.IsDeletedFor(id) }) {
			continue
		}
		r.report(Event{Kind: EventDeleted, OperationID: id, Copy: c, Start: to.began})
	}
}

// newOperationID returns an id for work that the gateway starts itself.
func newOperationID() string { return uuid.Must(uuid.NewV7()).String() }
