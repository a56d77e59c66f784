package chatapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// rawProvider answers each connection by a function, and returns the URL of its chats.
func rawProvider(t *testing.T, answer func(c *net.TCPConn)) *url.URL {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go answer(c.(*net.TCPConn))
		}
	}()
	return &url.URL{Scheme: "http", Host: ln.Addr().String(), Path: "/chat/completions"}
}

// TestFieldsOfTheProvidersConnection: the client gets none of the fields that Connection
// names in the provider's answer. (If it names close too, package http removes it, so the
// names are not known.)
func TestFieldsOfTheProvidersConnection(t *testing.T) {
	t.Parallel()
	for _, connection := range []string{"X-Secret", "keep-alive,x-secret"} {
		c := newCall(t, newTransport().RoundTrip)
		c.to.url = rawProvider(t, func(conn *net.TCPConn) {
			defer conn.Close()
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: %s\r\nX-Secret: hop\r\nX-Open: end\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", connection)
			}
		})
		r, err := http.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.proxy(c.c.Response(), r); err != nil {
			t.Fatal(err)
		}
		if h := c.c.Response().Header(); h.Get("X-Secret") != "" || h.Get("X-Open") != "end" || h.Get("Connection") != "" {
			t.Errorf("%s: %v", connection, h)
		}
	}
}

// TestEarlyAnswers: an answer that comes before the provider has read the request reaches
// the client, also if the provider then breaks the connection.
func TestEarlyAnswers(t *testing.T) {
	t.Parallel()
	c := newCall(t, newTransport().RoundTrip)
	const refusal = `{"error":{"message":"too large"}}`
	c.to.url = rawProvider(t, func(conn *net.TCPConn) {
		defer conn.Close() // with bytes that it has not read, so that the connection is reset
		start := make([]byte, 1<<10)
		if _, err := io.ReadFull(conn, start); err == nil {
			fmt.Fprintf(conn, "HTTP/1.1 413 Too Large\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(refusal), refusal)
		}
	})
	c.pieces, c.size = [][]byte{make([]byte, 45<<20)}, 45<<20
	r, err := http.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.proxy(c.c.Response(), r); err != nil || c.c.Response().Status != http.StatusRequestEntityTooLarge {
		t.Errorf("%v, %d", err, c.c.Response().Status)
	}
}
