package request

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// maxWait is the longest time that a request may ask to wait for work.
const maxWait = 10 * time.Minute

// Waits makes the contexts of requests that wait for work on copies and imported
// files.
type Waits struct {
	// Usual is how long a request waits if it names no time itself.
	Usual time.Duration
	// Stopping is done when the gateway is to stop: requests that wait then get their
	// answer.
	Stopping context.Context
}

// Wait is the context of a request that ends when the request has waited long enough
// for work, which then goes on without it; and when the gateway is to stop.
//
// Most requests find what they ask for and never wait. So a Wait sets nothing up before
// its first use: for a copy that is ready that would be a tenth of all the gateway
// does.
type Wait struct {
	context.Context // the request's
	deadline        time.Time
	stopping        context.Context

	begin sync.Once
	begun atomic.Pointer[deadlineContext]
}

// deadlineContext is the context that a Wait makes at its first use.
type deadlineContext struct {
	context.Context
	end func()
}

// For begins a wait of at most patience. The caller ends it.
func (w Waits) For(r *http.Request, patience time.Duration) *Wait {
	return &Wait{Context: r.Context(), deadline: time.Now().Add(patience), stopping: w.Stopping}
}

// AsPreferred begins a wait as long as the request prefers, which may be none at all.
// The caller ends it.
func (w Waits) AsPreferred(r *http.Request) *Wait {
	return w.For(r, Prefer(r).Patience(w.Usual))
}

// ForResult begins a wait of a request that has no other answer than the result of
// the work: it ignores respond-async, and waits a second at least. The caller ends
// it.
func (w Waits) ForResult(r *http.Request) *Wait {
	prefer := Prefer(r)
	prefer.Async = false
	return w.For(r, max(prefer.Patience(w.Usual), time.Second))
}

// HasRunOut reports whether the wait is over and its client is still there.
func (w *Wait) HasRunOut() bool { return w.Err() != nil && w.Context.Err() == nil }

func (w *Wait) start() *deadlineContext {
	w.begin.Do(func() {
		ctx, cancel := context.WithDeadline(w.Context, w.deadline)
		unhook := context.AfterFunc(w.stopping, cancel)
		w.begun.Store(&deadlineContext{ctx, func() { unhook(); cancel() }})
	})
	return w.begun.Load()
}

// End frees what the wait has set up.
func (w *Wait) End() {
	if begun := w.begun.Load(); begun != nil {
		begun.end()
	}
}

// Deadline implements context.Context.
func (w *Wait) Deadline() (time.Time, bool) { return w.deadline, true }

// Done implements context.Context.
func (w *Wait) Done() <-chan struct{} { return w.start().Done() }

// Err implements context.Context.
func (w *Wait) Err() error { return w.start().Err() }

// Value implements context.Context. It asks the context behind Done, so that package
// context sees that the two belong together.
func (w *Wait) Value(key any) any {
	if begun := w.begun.Load(); begun != nil {
		return begun.Value(key)
	}
	return w.Context.Value(key)
}
