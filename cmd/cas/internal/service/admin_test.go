package service

import (
	"context"
	"net"
	"net/http"
	"testing"
)

func TestAdminRefusesForeignHosts(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ServeAdmin(ctx, ln, NewRegistry()) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for host, want := range map[string]int{"": 200, "localhost:8081": 200, "evil.example:8081": 403} {
		for _, path := range []string{"/metrics", "/debug/pprof/cmdline"} {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ln.Addr().String()+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s for %q: %d", path, host, resp.StatusCode)
			}
		}
	}
}

// Other machines reach an address that is not a loopback one by any name.
func TestAdminOnOtherAddressesTakesAnyHost(t *testing.T) {
	next := http.NewServeMux()
	if got := onlyLocalHosts(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, next); got != http.Handler(next) {
		t.Error("it checks hosts")
	}
}
