package inprocess

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// A panic of the handler is reported where the gateway's other servers report it.
func TestPanicGoesToTheErrorLog(t *testing.T) {
	t.Parallel()
	var reported bytes.Buffer
	s := New(Options{
		Handler:  http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("handler is broken") }),
		ErrorLog: log.New(&reported, "", 0),
	})
	res, err := (&http.Client{Transport: s.Transport()}).Get("http://gateway/")
	if err == nil {
		res.Body.Close()
		t.Error("a panic was answered")
	}
	s.Close()
	if !strings.Contains(reported.String(), "handler is broken") { // net/http reports it before it closes the connection
		t.Errorf("reported %q", reported.String())
	}
}

// A request with too large a header is refused, as by the gateway's other servers.
func TestHeaderIsBounded(t *testing.T) {
	t.Parallel()
	s := New(Options{Handler: http.NotFoundHandler(), MaxHeaderBytes: 1 << 10, ErrorLog: log.New(io.Discard, "", 0)})
	t.Cleanup(s.Close)
	for size, want := range map[int]int{100: http.StatusNotFound, 64 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		conn, err := s.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			// The server may close the connection before it has read all.
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", size)+"\r\n\r\n")
		}()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != want {
			t.Errorf("a header of %d bytes: %+v, %v", size, res, err)
		}
		conn.Close()
		<-sent
	}
}

// A request of a traced context names its trace, and only then. The caller's request stays as
// it is.
func TestTraceContinues(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	s := New(Options{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Traceparent") })})
	t.Cleanup(s.Close)
	traced, span := sdk.NewTracerProvider().Tracer("").Start(t.Context(), "request")
	for want, ctx := range map[string]context.Context{
		"": t.Context(),
		"00-" + span.SpanContext().TraceID().String() + "-" + span.SpanContext().SpanID().String() + "-01": traced,
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gateway/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Client{Transport: s.Transport()}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if field := <-got; field != want || len(req.Header) != 0 {
			t.Errorf("traceparent %q, want %q; the caller's request has %v", field, want, req.Header)
		}
	}
}
