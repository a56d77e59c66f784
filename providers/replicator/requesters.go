package replicator

import (
	"sync"
	"time"
)

// maxRequesters bounds how many operations are remembered whose end never came up here,
// since another gateway did the work.
const maxRequesters = 10_000

// asked remembers who asked for work, by operation: so that of its end either the
// caller is told or OnEvent, never both and never nobody.
type requesters struct {
	mu         sync.Mutex
	operations map[string]*requester
}

type requester struct {
	actor string
	file  string
	since time.Time
	waits bool // a caller, who will be given the outcome
	ended bool // and the outcome is there
}

func newRequesters() *requesters { return &requesters{operations: make(map[string]*requester)} }

// enter notes who asks for an operation, and whether they wait. Without an actor
// there is nobody to tell, and nothing to note.
func (a *requesters) add(q Request, waits bool) {
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
	a.operations[q.OperationID] = &requester{actor: q.Actor, file: q.File, since: time.Now(), waits: waits}
}

// leave notes that a caller doesn't wait any more, and reports whether the outcome
// is there already, which is then the caller's to take.
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

// drop forgets an operation: its caller has its outcome, or it is not its own work
// that goes on.
func (a *requesters) remove(operation string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.operations, operation)
}

// end notes that an operation has ended. It reports whether a caller who waits
// takes note of that; else by is who asked, as far as that is known.
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
