package replicator

import (
	"sync"

	"casgate/cas"
)

// lastOfDelete lets the copies of a blob end their deletes one at a time: otherwise the last
// two copies of an operation could both count as its end. (In two gateways this is still
// possible; the operation then has two records.) An operation deletes copies of one blob
// only, and an eviction has none, so it doesn't wait.
type lastOfDelete struct {
	mu    sync.Mutex
	blobs map[cas.Digest]*deleteEnd
}

// deleteEnd is held by one of those that end deletes of a blob's copies.
type deleteEnd struct {
	held  chan struct{} // has a value while it is held
	users int           // those that hold it, or wait for it
}

func newLastOfDelete() *lastOfDelete {
	return &lastOfDelete{blobs: make(map[cas.Digest]*deleteEnd)}
}

// lock waits until no other delete of a blob's copies ends.
func (l *lastOfDelete) lock(d cas.Digest) (unlock func()) {
	l.mu.Lock()
	end := l.blobs[d]
	if end == nil {
		end = &deleteEnd{held: make(chan struct{}, 1)}
		l.blobs[d] = end
	}
	end.users++
	l.mu.Unlock()
	end.held <- struct{}{}
	return func() {
		<-end.held
		l.mu.Lock()
		defer l.mu.Unlock()
		if end.users--; end.users == 0 {
			delete(l.blobs, d)
		}
	}
}
