package service

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
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

func TestAdminRefusesWritesOfForeignPages(t *testing.T) {
	handler := refusePages(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, c := range []struct {
		method, field, value string
		want                 int
	}{
		{"POST", "Sec-Fetch-Site", "cross-site", 403},
		{"POST", "Sec-Fetch-Site", "same-site", 403},
		{"POST", "Origin", "http://evil.example", 403},
		{"POST", "Sec-Fetch-Site", "same-origin", 200},
		{"POST", "User-Agent", "go tool pprof", 200},
		{"GET", "Sec-Fetch-Site", "cross-site", 200},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), c.method, "http://127.0.0.1:8081/debug/pprof/symbol", nil)
		r.Header.Set(c.field, c.value)
		handler.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s with %s: %s: %d; want %d", c.method, c.field, c.value, w.Code, c.want)
		}
	}
}
