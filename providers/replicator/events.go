package replicator

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"casgate/providers/ledger"
)

// EventKind is what was done.
type EventKind string

// The kinds of events.
const (
	EventSynced  EventKind = "synced"  // a copy was made, or given up
	EventDeleted EventKind = "deleted" // a copy was deleted at its provider, on request
	EventEvicted EventKind = "evicted" // a copy was removed at its provider to make room
)

// Event is the end of work that no caller is told of: it was asked for in the
// background, outlived the caller who asked for it, or is the gateway's own idea.
type Event struct {
	Kind EventKind
	// OperationID names the operation that has ended: the copy's, but for evictions,
	// which are operations of their own.
	OperationID string
	// Copy is the copy as it then was.
	Copy ledger.Copy
	// Actor is the Request's who asked for it; empty where this process doesn't know:
	// nobody did, or it was before a restart, or in another gateway.
	Actor string
	// File is the Request's.
	File string
	// Start is when it was asked for, or, where this process doesn't know that, when
	// the work began.
	Start time.Time
	// Err is why it failed; nil where it didn't.
	Err error
}

// Left wraps the error of a caller who left, while work goes on under the
// operation of its request. Options.OnEvent is told of its end.
type Left struct{ error }

// Unwrap implements errors.Unwrap.
func (l Left) Unwrap() error { return l.error }

// maxAsked bounds how many operations are remembered whose end never came up here,
// since another gateway did the work.
const maxAsked = 10_000

// asked remembers who asked for work, by operation: so that of its end either the
// caller is told or OnEvent, never both and never nobody.
type asked struct {
	mu         sync.Mutex
	operations map[string]*asker
}

type asker struct {
	actor string
	file  string
	since time.Time
	waits bool // a caller, who will be given the outcome
	ended bool // and the outcome is there
}

func newAsked() *asked { return &asked{operations: make(map[string]*asker)} }

// enter notes who asks for an operation, and whether they wait. Without an actor
// there is nobody to tell, and nothing to note.
func (a *asked) enter(q Request, waits bool) {
	if q.Actor == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.operations[q.OperationID]; known != nil {
		known.waits = waits
		return
	}
	if len(a.operations) >= maxAsked {
		for id, other := range a.operations {
			if !other.waits {
				delete(a.operations, id)
			}
		}
	}
	a.operations[q.OperationID] = &asker{actor: q.Actor, file: q.File, since: time.Now(), waits: waits}
}

// leave notes that a caller doesn't wait any more, and reports whether the outcome
// is there already, which is then the caller's to take.
func (a *asked) leave(operation string) (ended bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.operations[operation]
	if known == nil {
		return false
	}
	known.waits = false
	if known.ended {
		delete(a.operations, operation)
	}
	return known.ended
}

// drop forgets an operation: its caller has its outcome, or it is not its own work
// that goes on.
func (a *asked) drop(operation string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.operations, operation)
}

// end notes that an operation has ended. It reports whether a caller who waits
// takes note of that; else by is who asked, as far as that is known.
func (a *asked) end(operation string) (by asker, taken bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.operations[operation]
	if known == nil {
		return asker{}, false
	}
	if known.waits {
		known.ended = true
		return asker{}, true
	}
	delete(a.operations, operation)
	return *known, false
}

// tell tells OnEvent of the end of an operation, unless a caller takes note of it.
func (r *Replicator) tell(e Event) {
	by, taken := r.asked.end(e.OperationID)
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
func (r *Replicator) tellSynced(c ledger.Copy, began time.Time, err error) {
	if errors.Is(err, errLeaseLost) || c.State != ledger.StateReady && c.State != ledger.StateFailed {
		return
	}
	r.tell(Event{Kind: EventSynced, OperationID: c.OperationID, Copy: c, Start: began, Err: err})
}

// tellDeleted tells of a delete that was retried, once all copies are gone that it
// is about.
func (r *Replicator) tellDeleted(ctx context.Context, c ledger.Copy, began time.Time) {
	rows, err := r.ledger.Copies(ctx, c.Digest)
	if err != nil {
		r.log.Warn().Err(err).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Msg("could not look whether a delete is over; taking it for that")
	}
	for _, other := range rows {
		if other.OperationID == c.OperationID && other.State == ledger.StateDeleting {
			return
		}
	}
	r.tell(Event{Kind: EventDeleted, OperationID: c.OperationID, Copy: c, Start: began})
}

// newOperationID returns an id for what the gateway does of its own accord.
func newOperationID() string { return uuid.Must(uuid.NewV7()).String() }
