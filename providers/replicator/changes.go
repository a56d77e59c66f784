package replicator

import (
	"sync"

	"casgate/cas"
)

// changes wakes the callers that wait for a change of a blob's copies.
type changes struct {
	mu      sync.Mutex
	waiting map[cas.Digest]*watch
}

// watch is shared by all callers that wait for the same blob.
type watch struct {
	changed chan struct{} // closed at the next change
	waiters int
}

func newChanges() *changes { return &changes{waiting: make(map[cas.Digest]*watch)} }

// wait returns a channel that is closed at the next change. The caller must release it.
func (c *changes) wait(d cas.Digest) (changed <-chan struct{}, release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.waiting[d]
	if w == nil {
		w = &watch{changed: make(chan struct{})}
		c.waiting[d] = w
	}
	w.waiters++
	return w.changed, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if w.waiters--; w.waiters == 0 && c.waiting[d] == w {
			delete(c.waiting, d)
		}
	}
}

func (c *changes) signal(d cas.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.waiting[d]; w != nil {
		close(w.changed)
		delete(c.waiting, d)
	}
}

func (c *changes) signalAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for d, w := range c.waiting {
		close(w.changed)
		delete(c.waiting, d)
	}
}
