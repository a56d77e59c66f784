package gateway_test

import (
	"strings"
	"testing"

	"casgate/cas"
	"casgate/gateway/problem"
)

// A web page whose host's name resolves to a loopback address can't use a gateway without
// authentication.
func TestGatewayWithoutAuthRefusesForeignHosts(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), func(o *gatewayOptions, _ *cas.Options) {
		o.NoAuth, o.PublicURL = true, "https://files.example.com/casgate"
	})
	ask := func(host, path string) answer {
		w := s.dial(t)
		w.send("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host)
		return w.answer("GET")
	}
	for _, path := range []string{"/v1/blobs", "/v1/files", s.path(cas.DigestOf(nil)), "/v1/operations"} {
		a := ask("evil.example", path)
		if a.StatusCode != 403 {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	ask("evil.example:8080", "/v1/blobs").wantProblem(t, 403, problem.Forbidden)
	for _, host := range []string{"localhost:8080", "127.0.0.1", "[::1]:80", "files.example.com"} {
		if a := ask(host, "/v1/blobs"); a.StatusCode != 200 {
			t.Errorf("%s: %d %s", host, a.StatusCode, a.body)
		}
	}
}

// A web page on another site can make a browser send writes that need no answer. A gateway
// without authentication refuses them; it takes those of its own pages and of programs.
func TestGatewayWithoutAuthRefusesWritesOfForeignPages(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), func(o *gatewayOptions, _ *cas.Options) { o.NoAuth = true })
	const evil = "http://evil.example"
	own := s.url
	for what, fields := range map[string][]string{
		"cross-site":               {"Sec-Fetch-Site", "cross-site", "Origin", evil},
		"another port":             {"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:1"},
		"an old browser":           {"Origin", evil},
		"a page without an origin": {"Origin", "null"},
	} {
		for _, path := range []string{"/v1/blobs", "/v1/files", "/v1/chat/completions", "/v1/providers/openai/reconcile?apply=true"} {
			fields := append([]string{"Content-Type", "text/plain"}, fields...)
			a := s.do("POST", path, strings.NewReader("bytes"), fields...)
			if a.StatusCode != 403 || !strings.Contains(string(a.body), "another origin") {
				t.Errorf("%s, %s: %d %s", what, path, a.StatusCode, a.body)
			}
		}
		if a := s.do("GET", "/v1/blobs", nil, fields...); a.StatusCode != 200 {
			t.Errorf("%s, a read: %d %s", what, a.StatusCode, a.body)
		}
	}
	for what, fields := range map[string][]string{
		"a program":           nil,
		"an own page":         {"Sec-Fetch-Site", "same-origin", "Origin", own},
		"the user":            {"Sec-Fetch-Site", "none"},
		"an own page, before": {"Origin", own},
	} {
		if a := s.do("POST", "/v1/blobs", strings.NewReader(what), fields...); a.StatusCode != 201 {
			t.Errorf("%s: %d %s", what, a.StatusCode, a.body)
		}
	}
	if a := s.do("DELETE", s.path(cas.DigestOf([]byte("a program"))), nil, "Origin", evil); a.StatusCode != 403 {
		t.Errorf("a delete: %d %s", a.StatusCode, a.body)
	}
}
