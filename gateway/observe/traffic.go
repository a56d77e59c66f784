package observe

import (
	"sync/atomic"
	"time"
)

// Traffic knows when requests came. Its zero value has seen none. It is safe for concurrent
// use.
type Traffic struct {
	open atomic.Int64 // requests in progress
	last atomic.Int64 // the end of the last request, in nanoseconds since 1970
}

// begin counts a request in progress.
func (t *Traffic) begin() { t.open.Add(1) }

// end ends a request.
func (t *Traffic) end(at time.Time) {
	t.last.Store(at.UnixNano())
	t.open.Add(-1)
}

// Last returns the end of the last request, or the current time if one is in progress.
// Before the first request it returns 1970.
func (t *Traffic) Last() time.Time {
	if t.open.Load() > 0 {
		return time.Now()
	}
	return time.Unix(0, t.last.Load())
}
