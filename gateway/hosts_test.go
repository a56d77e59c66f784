package gateway_test

import (
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
