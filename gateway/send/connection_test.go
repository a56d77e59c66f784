package send_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"casgate/cas/castest"
	"casgate/gateway/send"
)

// networks are the ways to a gateway.
func networks(t *testing.T, test func(t *testing.T, ln net.Listener)) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { ln.Close() })
			test(t, ln)
		})
	}
}

// accept accepts one connection of a client, within the time of a test.
func accept(t *testing.T, ln net.Listener) (server, client net.Conn) {
	t.Helper()
	client, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	for _, conn := range []net.Conn{server, client} {
		// This only ends a test that hangs. The listener's write deadline replaces it.
		if err := conn.SetDeadline(time.Now().Add(castest.WaitLimit)); err != nil {
			t.Fatal(err)
		}
	}
	return server, client
}

// A client that reads nothing is given up, however it is written to.
func TestSlowReaderIsGivenUp(t *testing.T) {
	t.Parallel()
	const timeout = 50 * time.Millisecond
	const length = 64 << 20 // more than any socket buffers
	for name, write := range map[string]func(net.Conn) error{
		"from memory": func(conn net.Conn) error {
			_, err := conn.Write(make([]byte, length))
			return err
		},
		"from a file on disk": func(conn net.Conn) error {
			file, err := os.CreateTemp(t.TempDir(), "")
			if err != nil {
				return err
			}
			defer file.Close()
			if err := file.Truncate(length); err != nil {
				return err
			}
			_, err = io.Copy(conn, &io.LimitedReader{R: file, N: length})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			networks(t, func(t *testing.T, ln net.Listener) {
				server, _ := accept(t, send.Listener(ln, timeout))
				begun := time.Now()
				if err := write(server); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%v; want a deadline that passed", err)
				}
				if took := time.Since(begun); took > castest.WaitLimit/2 {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// A client that reads nothing is given up also on a connection that had an answer just before:
// after it, net/http removes the deadline.
func TestSlowReaderOfASecondAnswerIsGivenUp(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	networks(t, func(t *testing.T, ln net.Listener) {
		server, client := accept(t, send.Listener(ln, timeout))
		if _, err := io.WriteString(server, "the first answer"); err != nil {
			t.Fatal(err)
		}
		if err := server.SetWriteDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		hangs := time.AfterFunc(castest.WaitLimit, func() { client.Close() })
		defer hangs.Stop()
		if _, err := server.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v; want a deadline that passed", err)
		}
	})
}

// slowConn takes so many bytes before the deadline of each write passes, and none after a
// deadline has passed.
type slowConn struct {
	net.Conn
	perDeadline int
	taken       int
	deadlines   int
	late        bool
}

func (c *slowConn) Write(p []byte) (int, error) {
	n := min(len(p), c.perDeadline)
	if c.late {
		n = 0
	}
	c.taken += n
	if n < len(p) {
		return n, os.ErrDeadlineExceeded
	}
	return n, nil
}

func (c *slowConn) SetWriteDeadline(t time.Time) error {
	c.deadlines++
	c.late = time.Until(t) < castest.WaitLimit/2
	return nil
}

func (c *slowConn) CloseWrite() error { return nil }

// slowListener accepts one slowConn.
type slowListener struct {
	net.Listener
	conn *slowConn
}

func (l slowListener) Accept() (net.Conn, error) { return l.conn, nil }

// A client that takes 256 KiB within the timeout gets all, also if a write has more than that,
// and a client that takes less is given up.
func TestSlowReaderHasTimeForEach256KiB(t *testing.T) {
	t.Parallel()
	const enough, length = 256 << 10, 5<<20 + 1
	for _, test := range []struct{ perDeadline, taken int }{
		{enough, length},
		{enough + 1, length},
		{enough - 1, enough - 1},
	} {
		slow := &slowConn{perDeadline: test.perDeadline}
		conn, err := send.Listener(slowListener{conn: slow}, castest.WaitLimit).Accept()
		if err != nil {
			t.Fatal(err)
		}
		n, err := conn.Write(make([]byte, length))
		if n != test.taken || slow.taken != test.taken || (err == nil) != (n == length) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes for each deadline: %d written, %d taken, %v; want %d", test.perDeadline, n, slow.taken, err, test.taken)
		}
		if least := test.taken / test.perDeadline; slow.deadlines < least {
			t.Errorf("%d bytes for each deadline: %d deadlines; want %d at least", test.perDeadline, slow.deadlines, least)
		}
	}
}

// bufferedConn has a buffer of size bytes, as a socket has. Its client takes perTimeout bytes
// within each whole timeout, and a writer is woken only when a third of the buffer is free.
type bufferedConn struct {
	slowConn
	size, free, perTimeout int
	// lost is how many bytes more ReadFrom takes from its source.
	lost int
}

func (c *bufferedConn) Write(p []byte) (int, error) {
	n := min(len(p), c.free)
	c.free -= n
	if n < len(p) && !c.late {
		c.free = min(c.size, c.free+c.perTimeout)
		if c.free >= c.size/3 {
			more := min(len(p)-n, c.free)
			c.free -= more
			n += more
		}
	}
	c.taken += n
	if n < len(p) {
		return n, os.ErrDeadlineExceeded
	}
	return n, nil
}

// ReadFrom is Write for a file on disk, as by sendfile.
func (c *bufferedConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.Write(make([]byte, r.(*io.LimitedReader).N))
	if _, readErr := io.CopyN(io.Discard, r, int64(n+c.lost)); readErr != nil && readErr != io.EOF {
		return int64(n), readErr
	}
	return int64(n), err
}

// bufferedListener accepts one bufferedConn.
type bufferedListener struct {
	net.Listener
	conn *bufferedConn
}

func (l bufferedListener) Accept() (net.Conn, error) { return l.conn, nil }

// A client that takes 256 KiB within the timeout gets all, also if the kernel tells late that
// it has taken them.
func TestSlowReaderBehindALargeBuffer(t *testing.T) {
	t.Parallel()
	const length = 12 << 20
	for name, write := range map[string]func(net.Conn) (int64, error){
		"from memory": func(conn net.Conn) (int64, error) {
			n, err := conn.Write(make([]byte, length))
			return int64(n), err
		},
		"from a file on disk": func(conn net.Conn) (int64, error) {
			return conn.(io.ReaderFrom).ReadFrom(&io.LimitedReader{R: zeros{}, N: length})
		},
	} {
		for perTimeout, whole := range map[int]bool{300 << 10: true, 200 << 10: false} {
			slow := &bufferedConn{size: 4 << 20, free: 4 << 20, perTimeout: perTimeout}
			conn, err := send.Listener(bufferedListener{conn: slow}, castest.WaitLimit).Accept()
			if err != nil {
				t.Fatal(err)
			}
			n, err := write(conn)
			if (err == nil) != whole || (n == length) != whole || int(n) != slow.taken || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s, %d bytes for each timeout: %d written, %d taken, %v", name, perTimeout, n, slow.taken, err)
			}
		}
	}
}

// Where more was read from a file on disk than was sent, nothing is sent after the deadline:
// bytes would be missing.
func TestNothingIsSentAfterBytesWereLost(t *testing.T) {
	t.Parallel()
	slow := &bufferedConn{size: 4 << 20, free: 4<<20 + 100, perTimeout: 300 << 10, lost: 1}
	conn, err := send.Listener(bufferedListener{conn: slow}, castest.WaitLimit).Accept()
	if err != nil {
		t.Fatal(err)
	}
	n, err := conn.(io.ReaderFrom).ReadFrom(&io.LimitedReader{R: zeros{}, N: 12 << 20})
	if n != 4<<20+100 || slow.taken != int(n) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d written, %d taken, %v", n, slow.taken, err)
	}
}

// zeros has zero bytes without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A client that sends all before it reads gets the answer, though the connection was closed
// before it had sent half of it.
func TestEarlyAnswerIsRead(t *testing.T) {
	t.Parallel()
	networks(t, func(t *testing.T, ln net.Listener) {
		server, client := accept(t, send.Listener(ln, castest.WaitLimit))
		const answer = "refused"
		answered := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(server, make([]byte, 1000))
			if err == nil {
				_, err = io.WriteString(server, answer)
			}
			answered <- errors.Join(err, server.Close())
		}()
		if _, err := io.WriteString(client, strings.Repeat("x", 1000)); err != nil {
			t.Fatal(err)
		}
		if err := <-answered; err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(client, strings.Repeat("x", 8<<20)); err != nil {
			t.Errorf("the rest: %v", err)
		}
		if got, err := io.ReadAll(client); err != nil || string(got) != answer {
			t.Errorf("%q, %v", got, err)
		}
	})
}
