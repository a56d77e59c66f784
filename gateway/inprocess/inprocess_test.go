package inprocess

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
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
