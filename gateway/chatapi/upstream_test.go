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

	"casgate/gateway/problem"
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

// TestTrailers: no field that follows the provider's answer reaches the client.
func TestTrailers(t *testing.T) {
	t.Parallel()
	for _, announced := range []string{"", "Trailer: Set-Cookie, Alt-Svc, X-Casgate-Healed, X-Sum\r\n"} {
		c := newCall(t, newTransport().RoundTrip)
		c.to.url = rawProvider(t, func(conn *net.TCPConn) {
			defer conn.Close()
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%sTransfer-Encoding: chunked\r\n\r\n"+
					"2\r\n{}\r\n0\r\nSet-Cookie: a=b\r\nAlt-Svc: h3\r\nX-Casgate-Healed: 1\r\nX-Sum: 1\r\n\r\n", announced)
			}
		})
		got := c.proxied(t)
		if got.Body.String() != "{}" {
			t.Errorf("body %q", got.Body)
		}
		for name := range got.Header() {
			for _, field := range []string{"Set-Cookie", "Alt-Svc", "X-Casgate-Healed", "X-Sum", "Trailer"} {
				if strings.HasSuffix(name, field) {
					t.Errorf("the client gets %s", name)
				}
			}
		}
	}
}

// TestSwitchedProtocols: an answer that changes the protocol is the provider's fault.
func TestSwitchedProtocols(t *testing.T) {
	t.Parallel()
	c := newCall(t, newTransport().RoundTrip)
	c.to.url = rawProvider(t, func(conn *net.TCPConn) {
		defer conn.Close()
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		}
	})
	err := c.proxyOf(t)
	if d := problem.Of(err, ""); d.Status != http.StatusBadGateway || d.Provider != "kimi" || d.Retryable {
		t.Errorf("got %v, %+v", err, d)
	}
}

// TestKeptFields: fields of the provider's answer that act on the client's browser, or that
// are credentials, don't reach the client. Others do.
func TestKeptFields(t *testing.T) {
	t.Parallel()
	c := newCall(t, func(*http.Request) (*http.Response, error) {
		h := http.Header{"Www-Authenticate": {"Bearer"}, "X-Ratelimit-Limit": {"1"}}
		for _, name := range []string{"Set-Cookie", "Alt-Svc", "Clear-Site-Data", "Refresh", "Authorization", "Proxy-Authenticate"} {
			h.Set(name, "theirs")
		}
		return &http.Response{StatusCode: http.StatusUnauthorized, Header: h, Body: http.NoBody}, nil
	})
	ok := newCall(t, func(*http.Request) (*http.Response, error) {
		h := http.Header{"Www-Authenticate": {"Basic"}, "Location": {"http://elsewhere.example/"}}
		return &http.Response{StatusCode: http.StatusOK, Header: h, Body: http.NoBody}, nil
	})
	if h := ok.proxied(t).Header(); h.Get("WWW-Authenticate") != "" || h.Get("Location") != "" {
		t.Errorf("header of a 200: %v", h)
	}
	got := c.proxied(t)
	for name, values := range got.Header() {
		if strings.Contains(strings.Join(values, ","), "theirs") {
			t.Errorf("the client gets %s", name)
		}
	}
	if got.Header().Get("WWW-Authenticate") != "Bearer" || got.Header().Get("X-Ratelimit-Limit") != "1" {
		t.Errorf("header %v", got.Header())
	}
}
