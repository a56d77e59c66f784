package gateway

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// maxWait is the longest a request may ask to wait for work on a copy.
const maxWait = 10 * time.Minute

// wait is a request's context that ends when the request has waited long enough
// for work on a copy, which then goes on without it; and when the gateway is to
// stop, so that those who wait get their answer.
//
// Most requests find what they ask for and never wait. So nothing is set up before
// somebody looks whether the wait is over: on the way of a hit that would be a tenth
// of all the gateway does.
type wait struct {
	context.Context // the request's
	deadline        time.Time
	stopping        context.Context

	begin sync.Once
	begun atomic.Pointer[deadlineContext]
}

// deadlineContext is what a wait becomes when it is begun.
type deadlineContext struct {
	context.Context
	end func()
}

// waiting begins a wait. The caller ends it.
func (g *Gateway) waiting(r *http.Request, patience time.Duration) *wait {
	return &wait{Context: r.Context(), deadline: time.Now().Add(patience), stopping: g.stopping}
}

// waitingLong is waiting for requests that there is no other answer to than what
// they wait for: they can't be put off altogether.
func (g *Gateway) waitingLong(r *http.Request) *wait {
	prefer := parsePrefer(r.Header["Prefer"])
	prefer.async = false
	return g.waiting(r, max(prefer.patience(g.o.CopyWait), time.Second))
}

func (w *wait) start() *deadlineContext {
	w.begin.Do(func() {
		ctx, cancel := context.WithDeadline(w.Context, w.deadline)
		unhook := context.AfterFunc(w.stopping, cancel)
		w.begun.Store(&deadlineContext{ctx, func() { unhook(); cancel() }})
	})
	return w.begun.Load()
}

// end frees what the wait has set up.
func (w *wait) end() {
	if begun := w.begun.Load(); begun != nil {
		begun.end()
	}
}

// Deadline implements context.Context.
func (w *wait) Deadline() (time.Time, bool) { return w.deadline, true }

// Done implements context.Context.
func (w *wait) Done() <-chan struct{} { return w.start().Done() }

// Err implements context.Context.
func (w *wait) Err() error { return w.start().Err() }

// Value implements context.Context. That it asks what Done comes from lets package
// context see that the two belong together.
func (w *wait) Value(key any) any {
	if begun := w.begun.Load(); begun != nil {
		return begun.Value(key)
	}
	return w.Context.Value(key)
}
