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
