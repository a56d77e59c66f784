package send_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"casgate/cas/castest"
	"casgate/gateway/send"
)

// lateConn is a connection whose client reads only when a deadline has passed. The kernel has
// then more room than it has told of.
type lateConn struct {
	*net.TCPConn
	t        *testing.T
	client   net.Conn
	received bytes.Buffer
	late     int // deadlines that passed
}

// ReadFrom implements io.ReaderFrom by the connection's own, which uses sendfile.
func (c *lateConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.late++
		queue := c.queued()
		castest.Eventually(c.t, "the kernel sends what it holds", func() bool {
			if _, err := io.CopyN(&c.received, c.client, 128<<10); err != nil {
				c.t.Error(err)
			}
			return c.queued() < queue-512<<10
		})
	}
	return n, err
}

// queued returns how many bytes the kernel holds for the client.
func (c *lateConn) queued() int {
	raw, err := c.SyscallConn()
	if err != nil {
		c.t.Fatal(err)
	}
	var n int
	if controlErr := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) }); controlErr != nil || err != nil {
		c.t.Fatal(controlErr, err)
	}
	return n
}

// lateListener accepts one lateConn.
type lateListener struct {
	net.Listener
	conn *lateConn
}

func (l lateListener) Accept() (net.Conn, error) { return l.conn, nil }

// A client that reads a file on disk slowly, behind the large buffer of a socket, gets each byte
// once, though deadlines pass in the middle of sendfile.
func TestSendfileGoesOnAfterADeadline(t *testing.T) {
	t.Parallel()
	const length = 24 << 20
	want := castest.RandomBytes(length + 100)
	name := filepath.Join(t.TempDir(), "object")
	if err := os.WriteFile(name, want, 0o600); err != nil {
		t.Fatal(err)
	}
	want = want[100:]
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Seek(100, io.SeekStart); err != nil { // a range
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	server, client := accept(t, ln)
	slow := &lateConn{TCPConn: server.(*net.TCPConn), t: t, client: client}
	if err := slow.SetWriteBuffer(4 << 20); err != nil {
		t.Fatal(err)
	}
	conn, err := send.Listener(lateListener{conn: slow}, 50*time.Millisecond).Accept()
	if err != nil {
		t.Fatal(err)
	}
	limited := &io.LimitedReader{R: file, N: length}
	n, err := conn.(io.ReaderFrom).ReadFrom(limited)
	if err != nil || n != length || limited.N != 0 {
		t.Fatalf("%d bytes sent, %d left, %v", n, limited.N, err)
	}
	if slow.late == 0 {
		t.Error("no deadline has passed")
	}
	if err := slow.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(&slow.received, client); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(slow.received.Bytes(), want) {
		t.Errorf("the client has %d bytes, which are not those of the range", slow.received.Len())
	}
}
