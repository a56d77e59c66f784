package send_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/gateway/send"
)

// A file on disk that is shorter than its object counts as damaged, not as ended.
func TestShortFileOnDiskIsDamage(t *testing.T) {
	name := filepath.Join(t.TempDir(), "object")
	if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	answer := send.Answer{Status: http.StatusPartialContent, Content: &cas.Content{Body: file, Length: 8}}
	if err := send.Blob(t.Context(), httptest.NewRecorder(), answer); !errors.Is(err, cas.ErrObjectCorrupt) {
		t.Errorf("got %v; want %v", err, cas.ErrObjectCorrupt)
	}
}

// serveStreams serves blobs of length bytes by HTTP/2, and returns their URL, a client, and what
// send.Blob has returned.
func serveStreams(t *testing.T, timeout time.Duration, length int64) (url string, client *http.Client, ended <-chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 10)
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{ConnContext: send.ConnContext, Protocols: &protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content := &cas.Content{Body: io.NopCloser(bytes.NewReader(make([]byte, length))), Length: length}
		errs <- send.Blob(r.Context(), w, send.Answer{Status: http.StatusOK, Content: content, Shared: true})
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(send.Listener(ln, timeout)) }()
	transport := &http.Transport{Protocols: &protocols}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String(), &http.Client{Transport: transport}, errs
}

// A client that takes nothing of a stream is given up, though its connection serves others.
func TestStalledStreamIsGivenUp(t *testing.T) {
	t.Parallel()
	const length = 20 << 20
	url, client, ended := serveStreams(t, 100*time.Millisecond, length)
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a client that reads nothing has got all")
		}
	case <-time.After(castest.WaitLimit):
		t.Fatal("the stream is still there")
	}
	if n, err := io.Copy(io.Discard, response.Body); err == nil || n >= length {
		t.Errorf("the client read %d bytes, error %v", n, err)
	}
}

func TestStreamThatIsReadHasAll(t *testing.T) {
	t.Parallel()
	const length = 20<<20 + 1
	url, client, ended := serveStreams(t, castest.WaitLimit, length)
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); err != nil || n != length {
		t.Errorf("the client read %d bytes, error %v", n, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// wireWriter writes an answer to a connection as net/http does: the header, and the beginning of the
// body up to 4 KiB, then the rest.
type wireWriter struct {
	conn   net.Conn
	header http.Header
	begun  bool
}

func (w *wireWriter) Header() http.Header { return w.header }

func (w *wireWriter) WriteHeader(int) {}

func (w *wireWriter) Write(p []byte) (int, error) {
	total := 0
	if !w.begun {
		w.begun = true
		head := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
		total = min(len(p), 4096-len(head))
		if _, err := w.conn.Write(append(head, p[:total]...)); err != nil {
			return 0, err
		}
	}
	n, err := w.conn.Write(p[total:])
	return total + n, err
}

// keepingConn is a bufferedConn that keeps what it takes.
type keepingConn struct {
	bufferedConn
	got bytes.Buffer
}

func (c *keepingConn) Write(p []byte) (int, error) {
	n, err := c.bufferedConn.Write(p)
	c.got.Write(p[:n])
	return n, err
}

type keepingListener struct {
	net.Listener
	conn *keepingConn
}

func (l keepingListener) Accept() (net.Conn, error) { return l.conn, nil }

// A large body begins in one write with its header. A client that takes 256 KiB within the timeout gets
// all of it, and one that takes less doesn't.
func TestBeginningOfALargeBody(t *testing.T) {
	t.Parallel()
	body := castest.RandomBytes(1 << 20)
	for name, test := range map[string]struct {
		buffered, perTimeout int
		whole                bool
	}{
		"fast":     {4 << 20, 0, true},
		"slow":     {300 << 10, 300 << 10, true},
		"too slow": {300 << 10, 200 << 10, false},
	} {
		client := &keepingConn{bufferedConn: bufferedConn{size: test.buffered, free: test.buffered, perTimeout: test.perTimeout}}
		conn, err := send.Listener(keepingListener{conn: client}, castest.WaitLimit).Accept()
		if err != nil {
			t.Fatal(err)
		}
		content := &cas.Content{Body: io.NopCloser(struct{ io.Reader }{bytes.NewReader(body)}), Length: int64(len(body))}
		answer := send.Answer{Status: http.StatusOK, Header: send.NewHeader(send.Field{Name: "Etag", Value: "tag"}), Content: content}
		err = send.Blob(send.ConnContext(t.Context(), conn), &wireWriter{conn: conn, header: http.Header{}}, answer)
		want := append([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nEtag: tag\r\n\r\n"), body...)
		got := client.got.Bytes()
		if !bytes.HasPrefix(want, got) || (len(got) == len(want)) != test.whole || (err == nil) != test.whole {
			t.Errorf("%s: %d of %d bytes, right: %t, %v", name, len(got), len(want), bytes.HasPrefix(want, got), err)
		}
	}
}
