package service

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"testing"
)

// A Unix socket serves, counts as loopback, and replaces what a killed process left, but
// no socket that is in use.
func TestListenOnAUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close() // as a killed process does
	ln, err := Listen("unix:"+path, "CAS_LISTEN")
	if err != nil {
		t.Fatal(err)
	}
	if !IsLoopback(ln.Addr()) || URLOf("http", ln.Addr()) != "http://localhost" {
		t.Errorf("loopback: %t, URL %s", IsLoopback(ln.Addr()), URLOf("http", ln.Addr()))
	}
	server := &http.Server{Handler: http.NotFoundHandler()}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	defer func() { server.Close(); <-ended }()
	client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	defer client.CloseIdleConnections()
	answer, err := client.Get("http://localhost/")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if second, err := Listen("unix:"+path, "CAS_LISTEN"); err == nil {
		second.Close()
		t.Error("a socket in use was replaced")
	}
}
