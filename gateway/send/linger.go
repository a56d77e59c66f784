package send

import (
	"io"
	"time"
)

const (
	// lingerTime and lingerBytes limit what a closed connection still reads and discards.
	lingerTime  = 5 * time.Second
	lingerBytes = 64 << 20
	// maxLingering limits the connections of a listener that do so at the same time.
	maxLingering = 256
)

// Close implements net.Conn. It closes the connection for writing, and returns. In the
// background it reads and discards for a while what the client is still sending, and then
// closes the connection for reading.
//
// If a connection with unread bytes is closed at once, the kernel sends a reset. Then a
// client that sends its whole request before it reads the answer loses the answer
// (RFC 9112, section 9.6). Such requests are uploads that were answered early.
func (c *connection) Close() error {
	if !c.closed.CompareAndSwap(false, true) {
		return c.halfCloser.Close()
	}
	select {
	case c.lingering <- struct{}{}:
	default:
		return c.halfCloser.Close()
	}
	if err := c.halfCloser.CloseWrite(); err != nil { // the connection is gone
		<-c.lingering
		return c.halfCloser.Close()
	}
	go func() {
		defer func() { <-c.lingering }()
		defer c.halfCloser.Close()
		if err := c.halfCloser.SetReadDeadline(time.Now().Add(lingerTime)); err == nil {
			_, _ = io.CopyN(io.Discard, struct{ io.Reader }{c.halfCloser}, lingerBytes) // the bytes, and their errors, have no use
		}
	}()
	return nil
}
