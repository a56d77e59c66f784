package simulator

import "sync"

// Point is a point of an upload where a test can stop it.
type Point string

// The points of an upload.
const (
	HeadersRead Point = "headers read" // nothing of the body was read yet
	BodyRead    Point = "body read"    // to its end; nothing is stored yet
	Stored      Point = "stored"       // before the reply
)

// Gate stops an upload until Release, even if the client has left. A test must call
// Release before it closes the server.
type Gate struct {
	arrived  chan struct{}
	released chan struct{}
	once     sync.Once
}

// Arrived is closed when an upload reaches the gate.
func (g *Gate) Arrived() <-chan struct{} { return g.arrived }

// Release lets the upload continue, or pass if it hasn't arrived yet. Safe to repeat.
func (g *Gate) Release() { g.once.Do(func() { close(g.released) }) }

// pass waits at the gate of this point if there is one.
func (c *Core) pass(at Point) {
	c.mu.Lock()
	var g *Gate
	if waiting := c.gates[at]; len(waiting) > 0 {
		g, c.gates[at] = waiting[0], waiting[1:]
	}
	c.mu.Unlock()
	if g == nil {
		return
	}
	close(g.arrived)
	<-g.released
}
