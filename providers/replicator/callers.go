package replicator

import (
	"errors"
	"sync"
)

// errAbandoned is the result of work that ended because no caller waits for it any more.
var errAbandoned = errors.New("no caller waits for the copy any more")

// callers are those that wait for each piece of work, by its key.
type callers struct {
	mu sync.Mutex
	at map[string]*waiting
}

// waiting are the callers that wait at the same time.
type waiting struct {
	n int
	// gone is closed when the last of them has left. A later caller begins a new waiting.
	gone chan struct{}
}

// enter adds a caller. It calls leave when it waits no more.
func (c *callers) enter(work string) *waiting {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.at[work]
	if w == nil {
		w = &waiting{gone: make(chan struct{})}
		c.at[work] = w
	}
	w.n++
	return w
}

func (c *callers) leave(work string, w *waiting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.n--; w.n == 0 {
		close(w.gone)
		delete(c.at, work)
	}
}
