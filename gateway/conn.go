package gateway

import (
	"bytes"
	"context"
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
//
// It also sends an answer from memory in one piece, and adds the blob's headers to
// it. net/http hands on what its 4 KiB buffer holds, headers and the body's
// beginning, and then the rest: two system calls, two packets and two wake-ups of
// the client for a small blob. And it keeps headers in a map, which it copies and
// sorts: for ten of them that costs as much as all else the gateway does.
type stallConn struct {
	*net.TCPConn
	timeout time.Duration
	last    time.Time // when the deadline was set; one goroutine writes at a time
	body    int       // > 0: an answer with a body of so many bytes is to go out in one piece
	lines   []byte    // headers to add to it, each line with its end
	held    []byte    // its beginning, so far
}

// connKey finds the connection in a request's context.
type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// connOf returns the connection of a request that came in by Serve, or nil.
func connOf(ctx context.Context) *stallConn {
	conn, _ := ctx.Value(connKey{}).(*stallConn)
	return conn
}

// expectBody announces that the next thing written is an answer's headers and its
// body of n > 0 bytes, all of which is at hand, and has the fields added to the
// headers.
func (c *stallConn) expectBody(n int, fields []headerField) {
	c.body = n
	c.lines = c.lines[:0]
	for _, f := range fields {
		c.lines = append(c.lines, f.name...)
		c.lines = append(c.lines, ": "...)
		c.lines = append(c.lines, f.value...)
		c.lines = append(c.lines, "\r\n"...)
	}
}

func (c *stallConn) extend() {
	// Not for every write, which is cheaper for small answers: a client has seven
	// eighths of its time at the least.
	if now := time.Now(); now.Sub(c.last) > c.timeout/8 {
		c.last = now
		c.TCPConn.SetWriteDeadline(now.Add(c.timeout)) // fails only on a closed connection, as the write will
	}
}

func (c *stallConn) Write(p []byte) (int, error) {
	if c.body > 0 {
		return c.gather(p)
	}
	return c.write(p)
}

// gather holds an answer back until it is whole. p may not be kept, so what is
// held is a copy; the last piece, which is most of a larger body, is not.
func (c *stallConn) gather(p []byte) (int, error) {
	rest := p
	if len(c.held) == 0 {
		// net/http's buffer holds more than its own headers to these answers, so the
		// first piece has them whole.
		end := bytes.Index(p, endOfHeader) + len("\r\n")
		if end < len("\r\n") {
			c.body = 0
			return c.write(p)
		}
		c.held = append(append(c.held, p[:end]...), c.lines...)
		rest = p[end:]
		c.body += len("\r\n")
	}
	if c.body -= len(rest); c.body > 0 || len(c.held)+len(rest) <= maxCopied {
		c.held = append(c.held, rest...)
		rest = nil
	}
	if c.body > 0 {
		return len(p), nil
	}
	held := c.held
	c.body, c.held = 0, held[:0]
	if len(rest) == 0 {
		_, err := c.write(held)
		return len(p), err
	}
	c.extend()
	pieces := net.Buffers{held, rest}
	n, err := pieces.WriteTo(c.TCPConn)
	return min(len(p), max(0, int(n)-len(held)+len(p)-len(rest))), err
}

var endOfHeader = []byte("\r\n\r\n")

// maxCopied is up to which size an answer is put together by copying, which is
// then cheaper than a vectored write.
const maxCopied = 16 << 10

func (c *stallConn) write(p []byte) (int, error) {
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
