package gateway_test

import (
	"strings"
	"testing"

	"casgate/cas"
	"casgate/gateway"
)

// A load balancer asks a draining gateway every few seconds whether it is ready. The log has
// that only as far as it has other requests.
func TestAccessLogOfADrainingGateway(t *testing.T) {
	for skip, want := range map[float64]int{0: 2, 1: 0} {
		s := start(t, embedded(t, t.TempDir()), func(o *gateway.Options, _ *cas.Options) { o.SkipLog = skip })
		s.gateway.Drain()
		for range 2 {
			if a := s.do("GET", "/readyz", nil); a.StatusCode != 503 {
				t.Errorf("readyz: %d %s", a.StatusCode, a.body)
			}
		}
		s.stop() // a request is logged after its answer
		if n := strings.Count(s.logs.String(), `"path":"/readyz"`); n != want {
			t.Errorf("with SkipLog %v the log has %d requests, want %d:\n%s", skip, n, want, s.logs.String())
		}
	}
}
