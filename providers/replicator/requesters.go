package replicator

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// maxRequesters limits the entries of operations that end in another gateway, so this
// process never sees their end.
const maxRequesters = 10_000

// requesters holds the requester of each operation, so that the end of the operation
// reaches either the caller or OnEvent: exactly one of them.
type requesters struct {
	mu         sync.Mutex
	operations map[string]*requester
}

type requester struct {
	actor string
	file  string
	since time.Time
	asked trace.SpanContext // of the request; zero if it is not traced
	waits bool              // a caller waits for the result
	ended bool              // the result exists
}

func newRequesters() *requesters { return &requesters{operations: make(map[string]*requester)} }

// add records the requester of an operation, and whether it waits. It ignores a request
// without an actor.
func (a *requesters) add(ctx context.Context, q Request, waits bool) {
	if q.Actor == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.operations[q.OperationID]; known != nil {
		known.waits = waits
		return
	}
	if len(a.operations) >= maxRequesters {
		for id, other := range a.operations {
			if !other.waits {
				delete(a.operations, id)
			}
		}
	}
	a.operations[q.OperationID] = &requester{actor: q.Actor, file: q.File, since: time.Now(), asked: trace.SpanContextFromContext(ctx), waits: waits}
}

// stopWaiting records that a caller doesn't wait any more. It reports whether the result
// exists already; then the caller must take it.
func (a *requesters) stopWaiting(operation string) (ended bool) {
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

// remove forgets an operation whose caller already has the result, or whose copy another
// operation is making.
func (a *requesters) remove(operation string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.operations, operation)
}

// knows reports whether an operation has a requester, and its end was not reported.
func (a *requesters) knows(operation string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.operations[operation] != nil
}

// askedBy returns the span of the request that asked for an operation. It is zero if this
// process doesn't know it.
func (a *requesters) askedBy(operation string) trace.SpanContext {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.operations[operation]; known != nil {
		return known.asked
	}
	return trace.SpanContext{}
}

// finish records that an operation has ended. It reports whether a waiting caller takes
// the result. Otherwise by is the requester, if this process knows it.
func (a *requesters) finish(operation string) (by requester, taken bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.operations[operation]
	if known == nil {
		return requester{}, false
	}
	if known.waits {
		known.ended = true
		return requester{}, true
	}
	delete(a.operations, operation)
	return *known, false
}
