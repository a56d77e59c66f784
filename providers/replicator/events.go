package replicator

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"casgate/providers/ledger"
)

// Left wraps the error of a caller who left, while work goes on under the
// operation of its request. Options.OnEvent is told of its end.
type Detached struct{ error }

// Unwrap implements errors.Unwrap.
func (d Detached) Unwrap() error { return d.error }

// tell tells OnEvent of the end of an operation, unless a caller takes note of it.
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

// tellSynced tells of work on a copy that has come to its end, and of no other: what
// waits for its next attempt, or for another gateway, has not.
func (r *Replicator) reportSynced(c ledger.Copy, began time.Time, err error) {
	if errors.Is(err, errLeaseLost) || c.State != ledger.StateReady && c.State != ledger.StateFailed {
		return
	}
	r.report(Event{Kind: EventSynced, OperationID: c.OperationID, Copy: c, Start: began, Err: err})
}

// tellDeleted tells of a delete that was retried, once all copies are gone that it
// is about.
func (r *Replicator) reportDeleted(ctx context.Context, c ledger.Copy, began time.Time) {
	rows, err := r.ledger.Copies(ctx, c.Digest)
	if err != nil {
		r.log.Warn().Err(err).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Msg("could not look whether a delete is over; taking it for that")
	}
	for _, other := range rows {
		if other.OperationID == c.OperationID && other.State == ledger.StateDeleting {
			return
		}
	}
	r.report(Event{Kind: EventDeleted, OperationID: c.OperationID, Copy: c, Start: began})
}

// newOperationID returns an id for what the gateway does of its own accord.
func newOperationID() string { return uuid.Must(uuid.NewV7()).String() }
