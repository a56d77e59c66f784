package send_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"testing"

	"casgate/cas/castest"
	"casgate/gateway/send"
)

// sentBody is the body of a request. It counts what the client has taken of it.
type sentBody struct {
	length int64 // negative: it has no end
	pause  int64 // bytes before a pause until resume is closed; negative: none
	resume chan struct{}
	taken  atomic.Int64
	closed chan struct{}
}

func newSentBody(length, pause int64) *sentBody {
	return &sentBody{length: length, pause: pause, resume: make(chan struct{}), closed: make(chan struct{})}
}

func (b *sentBody) Read(p []byte) (int, error) {
	taken := b.taken.Load()
	if b.pause >= 0 && taken >= b.pause {
		<-b.resume
	}
	if b.length >= 0 {
		p = p[:min(int64(len(p)), b.length-taken)]
		if len(p) == 0 {
			return 0, io.EOF
		}
	}
	b.taken.Add(int64(len(p)))
	return len(p), nil
}

func (b *sentBody) Close() error {
	close(b.closed)
	return nil
}

// early serves a handler that answers before it has read the body, by HTTP/2.
func early(t *testing.T) (url string, client *http.Client) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: &protocols, Handler: send.LingerStreams(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		_, _ = io.WriteString(w, "early") // the client notices what is missing
	}))}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	transport := &http.Transport{Protocols: &protocols, ExpectContinueTimeout: castest.WaitLimit}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String(), &http.Client{Transport: transport}
}

// A stream that is answered before its request was read is not reset, but read on, within limits:
// a client that sends all before it looks at the answer gets the answer. Go's client stops to send
// after a refusal, so the answer here is none.
func TestEarlyAnswerByHTTP2(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		length, pause int64
		least, most   int64 // bytes that are taken
	}{
		"an upload":             {10 << 20, -1, 10 << 20, 10 << 20},
		"one without end":       {-1, -1, 64 << 20, 80 << 20},
		"a client that pauses":  {10 << 20, 1 << 20, 1 << 20, 2 << 20},
		"one that sends a byte": {1, -1, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, client := early(t)
			body := newSentBody(c.length, c.pause)
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
			if err != nil {
				t.Fatal(err)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if text, err := io.ReadAll(response.Body); string(text) != "early" || err != nil {
				t.Errorf("%d %q, %v", response.StatusCode, text, err)
			}
			close(body.resume)
			<-body.closed
			if taken := body.taken.Load(); taken < c.least || taken > c.most {
				t.Errorf("%d bytes were taken; want %d to %d", taken, c.least, c.most)
			}
		})
	}
}

// A client that waits for 100-continue gets the answer alone, and sends nothing. The reads after
// the answer don't call for the bytes.
func TestEarlyAnswerToAClientThatWaits(t *testing.T) {
	t.Parallel()
	url, client := early(t)
	var continued atomic.Bool
	ctx := httptrace.WithClientTrace(context.WithoutCancel(t.Context()), &httptrace.ClientTrace{Got100Continue: func() { continued.Store(true) }})
	body := newSentBody(10<<20, -1)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Expect", "100-continue")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); string(text) != "early" || err != nil {
		t.Errorf("%d %q, %v", response.StatusCode, text, err)
	}
	if taken := body.taken.Load(); taken > 0 || continued.Load() {
		t.Errorf("%d bytes were taken, continued: %t", taken, continued.Load())
	}
}
