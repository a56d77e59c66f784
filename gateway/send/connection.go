package send

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"casgate/cas"
)

const (
	// writeChunk is how many bytes a client must take within the timeout.
	writeChunk = 256 << 10
	// maxWrite is how many bytes are written with one system call.
	maxWrite = 1 << 20
)

// Listener returns a listener whose connections, by TCP or by a Unix socket, give up on a client that takes
// longer than the timeout for 256 KiB, and that send answers from memory in one
// write. [ConnContext] must be the ConnContext of the http.Server.
func Listener(ln net.Listener, timeout time.Duration) net.Listener {
	return listener{ln, timeout, make(chan struct{}, maxLingering), &hotBodies{}}
}

type listener struct {
	net.Listener
	timeout time.Duration
	// lingering has a value for each connection that is closed for writing only.
	lingering chan struct{}
	hot       *hotBodies
}

// Close implements net.Listener.
func (l listener) Close() error {
	l.hot.close()
	return l.Listener.Close()
}

func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s, ok := conn.(halfCloser)
	if !ok {
		return conn, nil
	}
	c := &connection{halfCloser: s, timeout: l.timeout, lingering: l.lingering}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if c.raw, err = tcp.SyscallConn(); err == nil { // else nothing is sent from hot bodies
			c.hot = l.hot
		}
	}
	return c, nil
}

// halfCloser is a connection by TCP or by a Unix socket.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// connection is a connection to a client; see the package's documentation.
type connection struct {
	halfCloser
	timeout   time.Duration
	lingering chan struct{} // the listener's
	hot       *hotBodies    // the listener's; nil: this is no TCP
	raw       syscall.RawConn
	closed    atomic.Bool
	extended  time.Time // when the deadline was last set; one goroutine writes at a time

	// An announced answer.
	missing int      // bytes of the answer that net/http has not written yet; 0: none is announced
	lines   []byte   // header lines to add
	held    []byte   // the beginning of the answer, so far
	body    *hotBody // the body, which is sent from here; nil: it is sent as net/http writes it
	bytes   []byte   // the same bytes
}

// connKey finds the connection in a request's context.
type connKey struct{}

// ConnContext is for http.Server.ConnContext: it lets [Blob] find the connection of a
// request.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// timeoutOf returns the listener's timeout, also if a request came by TLS; 0: it did not come
// by our listener.
func timeoutOf(ctx context.Context) time.Duration {
	conn := ctx.Value(connKey{})
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if c, ok := conn.(*connection); ok {
		return c.timeout
	}
	return 0
}

// connOf returns the connection of a request that came by our listener, or nil.
func connOf(ctx context.Context) *connection {
	conn, _ := ctx.Value(connKey{}).(*connection)
	return conn
}

// announce says that the next bytes written are the header of an answer and its body,
// which is all in memory and not empty. The fields are added to the header.
func (c *connection) announce(content *cas.Content, fields Header) {
	c.missing = len(content.Bytes)
	c.lines = fields.lines
	c.releaseBody()
	if isWhole := content.Blob.Size == int64(len(content.Bytes)); c.hot != nil && isWhole {
		if c.body = c.hot.get(content.Blob.Digest, content.Bytes); c.body != nil {
			c.bytes = content.Bytes
		}
	}
}

// SetWriteDeadline implements net.Conn. net/http removes the deadline after each answer. It stays
// here: the next write may come before extendDeadline sets another one.
func (c *connection) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		return nil
	}
	return c.halfCloser.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *connection) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *connection) extendDeadline() {
	if now := time.Now(); now.Sub(c.extended) > c.timeout/8 {
		c.extended = now
		c.halfCloser.SetWriteDeadline(now.Add(c.timeout)) // fails only on a closed connection, as the write will
	}
}

// Write implements net.Conn.
func (c *connection) Write(p []byte) (int, error) {
	if c.missing > 0 {
		return c.gather(p)
	}
	return c.writeChunks(p)
}

// gather holds an announced answer back until it is whole. The caller keeps p, so
// the held bytes are a copy; the last piece, which is most of a larger body, is not
// copied.
func (c *connection) gather(p []byte) (int, error) {
	rest := p
	if len(c.held) == 0 {
		// The buffer of net/http holds more than the header that it writes for these
		// answers, so the first piece has the whole header.
		end := bytes.Index(p, endOfHeader) + len("\r\n")
		if end < len("\r\n") {
			c.missing = 0
			c.releaseBody()
			return c.writeChunks(p)
		}
		c.held = append(append(c.held, p[:end]...), c.lines...)
		rest = p[end:]
		c.missing += len("\r\n")
	}
	if c.body != nil {
		return c.gatherHot(p, rest)
	}
	if c.missing -= len(rest); c.missing > 0 || len(c.held)+len(rest) <= maxCopied {
		c.held = append(c.held, rest...)
		rest = nil
	}
	if c.missing > 0 {
		return len(p), nil
	}
	held := c.held
	c.missing, c.held = 0, held[:0]
	if len(rest) == 0 {
		_, err := c.writeChunks(held)
		return len(p), err
	}
	c.extendDeadline()
	pieces := net.Buffers{held, rest}
	n, err := pieces.WriteTo(c.halfCloser)
	return min(len(p), max(0, int(n)-len(held)+len(p)-len(rest))), err
}

// gatherHot is gather where the body is sent from a hotBody: only the header is held. rest is
// what follows in p.
func (c *connection) gatherHot(p, rest []byte) (int, error) {
	if c.missing -= len(rest); c.missing > 0 {
		return len(p), nil
	}
	defer c.releaseBody()
	held := append(c.held, "\r\n"...)
	c.missing, c.held = 0, held[:0]
	if err := c.sendHot(held, c.bytes, c.body); err != nil {
		return 0, err
	}
	return len(p), nil
}

// releaseBody ends the use of a hot body. Close does not do it, since others may close the
// connection while an answer is sent.
func (c *connection) releaseBody() {
	if c.body != nil {
		c.body.release()
		c.body, c.bytes = nil, nil
	}
}

// sendHot sends a header, and bytes by way of the body that has them.
func (c *connection) sendHot(header, bytes []byte, body *hotBody) error {
	c.extendDeadline()
	if err := sendHeader(c.raw, header); err != nil {
		return err
	}
	for sent := int64(0); sent < body.size; {
		c.extendDeadline()
		end := min(sent+writeChunk, body.size)
		n, err := body.send(c.raw, sent, end)
		sent += n
		if errors.Is(err, os.ErrDeadlineExceeded) { // see writeLate
			c.setLateDeadline()
			n, err = body.send(c.raw, sent, end)
			sent += n
		}
		if isRefused(err) {
			_, err = c.writeChunks(bytes[sent:])
			return err
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var endOfHeader = []byte("\r\n\r\n")

// maxCopied is the largest answer that is put together by copying. Above it a
// vectored write is cheaper.
const maxCopied = 16 << 10

func (c *connection) writeChunks(p []byte) (int, error) {
	total := 0
	for {
		piece := p[:min(len(p), maxWrite)]
		c.extendDeadline()
		n, err := c.halfCloser.Write(piece)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			n, err = c.writeLate(n, piece)
		}
		total += n
		p = p[n:]
		if err != nil || len(p) == 0 {
			return total, err
		}
	}
}

// writeLate writes more of p after the deadline has passed, when n bytes of it were written.
// It returns how many bytes of p are written now, and no error if the client is slow, but not
// too slow. The kernel wakes a writer only when about a third of the socket's buffer is free,
// and the buffer may have 4 MiB. So the client may have taken more than could be written.
func (c *connection) writeLate(n int, p []byte) (int, error) {
	c.setLateDeadline()
	more, err := c.halfCloser.Write(p[n:])
	if n += more; n >= writeChunk && errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

// lateTime is enough to fill what is free in the buffer of a socket.
const lateTime = time.Second

// setLateDeadline sets the deadline of a write after the usual one has passed. The next write
// has a whole timeout again.
func (c *connection) setLateDeadline() {
	c.extended = time.Time{}
	c.halfCloser.SetWriteDeadline(time.Now().Add(lateTime)) // as in extendDeadline
}

// ReadFrom implements io.ReaderFrom by sendfile, one chunk at a time. net/http calls
// it with an io.LimitedReader around a file on disk. The kernel takes the file only if
// exactly one LimitedReader is around it, so each chunk makes a new one.
func (c *connection) ReadFrom(r io.Reader) (int64, error) {
	kernel, ok := c.halfCloser.(io.ReaderFrom)
	if !ok { // a Unix socket
		buffer := Buffer()
		defer buffer.Free()
		return io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{r}, buffer[:])
	}
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
		c.extendDeadline()
		n, err := kernel.ReadFrom(chunk)
		if errors.Is(err, os.ErrDeadlineExceeded) && n == wanted-chunk.N {
			n, err = c.sendLate(kernel, n, chunk)
		}
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

// sendLate is writeLate for sendfile: it sends the rest of a chunk of which n bytes were sent.
// All that was taken from the file on disk must have been sent. That is so with sendfile, which
// moves the file's position by what the socket took, as net relies on when it goes on after a
// wait; a copy through a buffer may have taken more.
func (c *connection) sendLate(kernel io.ReaderFrom, n int64, chunk *io.LimitedReader) (int64, error) {
	c.setLateDeadline()
	more, err := kernel.ReadFrom(chunk)
	return n + more, err
}
