package gateway

import (
	"io"
	"net"
	"time"
)

// writeChunk is how much a client must take within the write timeout.
const writeChunk = 256 << 10

// stallListener makes connections that give up on clients that don't read.
type stallListener struct {
	net.Listener
	timeout time.Duration
}

func (l stallListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		return &stallConn{TCPConn: tcp, timeout: l.timeout}, nil
	}
	return conn, nil
}

// stallConn sets a write deadline ahead of every write, in one place for all
// answers: http.Server's own WriteTimeout bounds a whole answer, which for a
// large blob would be either too short or no bound at all.
type stallConn struct {
	*net.TCPConn
	timeout time.Duration
	last    time.Time // when the deadline was set; one goroutine writes at a time
}

func (c *stallConn) extend() {
	// Once a second is often enough, and cheaper for small answers.
	if now := time.Now(); now.Sub(c.last) > time.Second {
		c.last = now
		c.TCPConn.SetWriteDeadline(now.Add(c.timeout)) // fails only on a closed connection, as the write will
	}
}

func (c *stallConn) Write(p []byte) (int, error) {
	total := 0
	for {
		chunk := p[:min(len(p), writeChunk)]
		c.extend()
		n, err := c.TCPConn.Write(chunk)
		total += n
		if p = p[n:]; err != nil || len(p) == 0 {
			return total, err
		}
	}
}

// ReadFrom keeps the way open for sendfile, a chunk at a time. net/http calls it
// with an io.LimitedReader around a file; the kernel can take that only where it
// is not wrapped again, so the limit is what moves.
func (c *stallConn) ReadFrom(r io.Reader) (int64, error) {
	src, remaining := r, int64(-1)
	if limited, ok := r.(*io.LimitedReader); ok {
		src, remaining = limited.R, limited.N
		defer func() { limited.N = remaining }()
	}
	var total int64
	for remaining != 0 {
		chunk := &io.LimitedReader{R: src, N: writeChunk}
		if remaining >= 0 {
			chunk.N = min(chunk.N, remaining)
		}
		wanted := chunk.N
		c.extend()
		n, err := c.TCPConn.ReadFrom(chunk)
		total += n
		if remaining >= 0 {
			remaining -= n
		}
		if err != nil || n < wanted {
			return total, err
		}
	}
	return total, nil
}
