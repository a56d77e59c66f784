package send

import (
	"sync"
	"sync/atomic"
	"time"

	"casgate/cas"
)

const (
	// minHotBody is the smallest body that is sent from a hotBody. Below it one write is about
	// as fast.
	minHotBody = 32 << 10
	// maxHotBytes and maxHotBodies limit what the hot bodies of a listener take.
	maxHotBytes  = 32 << 20
	maxHotBodies = 512
	// hotUses is how often a body is sent before it becomes hot.
	hotUses = 4
	// hotPause is the time between two bodies that become hot in place of others, so that many
	// bodies that are sent in turns don't displace each other all the time.
	hotPause = 50 * time.Millisecond
	// hotIdle is how long a hot body stays unused; at most twice as long.
	hotIdle = time.Minute
	// hotRetry is how long no body becomes hot after the system has refused one.
	hotRetry = time.Minute
)

// hotBodies are the bodies that a listener sends often. It is safe for concurrent use. Its
// zero value is empty.
type hotBodies struct {
	mu        sync.RWMutex
	bodies    map[cas.Digest]*hotEntry
	bytes     int64
	making    bool
	notBefore time.Time // when a body may become hot again
	sweeper   *time.Timer
	closed    bool

	counting sync.Mutex
	// candidates has bodies that were sent lately, each where its digest hashes to.
	candidates [1024]hotCandidate
}

type hotEntry struct {
	body *hotBody
	used atomic.Bool // since the last look
}

type hotCandidate struct {
	digest cas.Digest
	uses   int
}

// get returns the hot body of a digest, or nil. b are all bytes that have the digest. The
// caller releases the body.
func (h *hotBodies) get(d cas.Digest, b []byte) *hotBody {
	if len(b) < minHotBody {
		return nil
	}
	h.mu.RLock()
	entry := h.bodies[d]
	if entry != nil {
		entry.body.use()
	}
	h.mu.RUnlock()
	if entry == nil {
		h.consider(d, b)
		return nil // also if it is hot now: the next answer will use it
	}
	if !entry.used.Load() { // a write would take the cache line from other processors
		entry.used.Store(true)
	}
	return entry.body
}

// consider makes a body hot that has been sent often enough.
func (h *hotBodies) consider(d cas.Digest, b []byte) {
	if !h.isWanted(d, int64(len(b))) {
		return
	}
	body, err := newHotBody(b)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.making = false
	if err != nil { // it costs speed only
		h.notBefore = time.Now().Add(hotRetry)
		return
	}
	if h.closed {
		body.release()
		return
	}
	if h.bodies == nil {
		h.bodies = map[cas.Digest]*hotEntry{}
	}
	entry := &hotEntry{body: body}
	entry.used.Store(true)
	h.bodies[d] = entry
	h.bytes += body.size
	if h.sweeper == nil {
		h.sweeper = time.AfterFunc(hotIdle, h.sweep)
	}
}

// count counts a use of a body that is not hot, and reports whether it was sent often enough
// since the last time that it was.
func (h *hotBodies) count(d cas.Digest) bool {
	h.counting.Lock()
	defer h.counting.Unlock()
	c := &h.candidates[(int(d[0])<<8|int(d[1]))%len(h.candidates)]
	if c.digest != d {
		*c = hotCandidate{digest: d}
	}
	c.uses = (c.uses + 1) % hotUses
	return c.uses == 0
}

// isWanted counts a use of a body that is not hot, and reports whether the caller is to make
// it hot. There is room for it then.
func (h *hotBodies) isWanted(d cas.Digest, size int64) bool {
	if !h.count(d) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.making || h.closed || size > maxHotBytes || h.bodies[d] != nil {
		return false
	}
	now := time.Now()
	if now.Before(h.notBefore) {
		return false
	}
	if !h.hasRoom(size) {
		h.notBefore = now.Add(hotPause)
		if !h.makeRoom(size) {
			return false
		}
	}
	h.making = true
	return true
}

func (h *hotBodies) hasRoom(size int64) bool {
	return h.bytes+size <= maxHotBytes && len(h.bodies) < maxHotBodies
}

// makeRoom drops bodies that were not used since they were looked at last, in the random order
// of a map, and reports whether there is room now.
func (h *hotBodies) makeRoom(size int64) bool {
	for d, entry := range h.bodies {
		if !entry.used.Swap(false) {
			h.drop(d, entry)
		}
		if h.hasRoom(size) {
			return true
		}
	}
	return false
}

// drop forgets a body. Answers under way may still use it.
func (h *hotBodies) drop(d cas.Digest, entry *hotEntry) {
	delete(h.bodies, d)
	h.bytes -= entry.body.size
	entry.body.release()
}

// sweep drops the bodies that nobody has asked for since the last sweep.
func (h *hotBodies) sweep() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for d, entry := range h.bodies {
		if !entry.used.Swap(false) {
			h.drop(d, entry)
		}
	}
	h.sweeper = nil
	if len(h.bodies) > 0 && !h.closed {
		h.sweeper = time.AfterFunc(hotIdle, h.sweep)
	}
}

// close drops all bodies for good.
func (h *hotBodies) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for d, entry := range h.bodies {
		h.drop(d, entry)
	}
	if h.sweeper != nil {
		h.sweeper.Stop()
	}
}
