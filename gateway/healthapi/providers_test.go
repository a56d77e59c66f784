package healthapi

import (
	"testing"
	"time"

	"casgate/providers"
)

func TestHealthText(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	refused := &providers.Error{Kind: providers.KindAuth}
	for want, h := range map[string]providers.Health{
		"ok": {Available: true, Breaker: providers.BreakerClosed, LastCheck: at},
		"uploads held back until 2026-11-21T12:00:00Z, since it limits their rate": {Available: true, Breaker: providers.BreakerClosed, HeldUntil: at},
		"the key is refused":               {Breaker: providers.BreakerClosed, LastError: refused},
		"unavailable":                      {Breaker: providers.BreakerClosed},
		"being tried again after failures": {Available: true, Breaker: providers.BreakerHalfOpen},
		"breaker open":                     {Breaker: providers.BreakerOpen},
		"breaker open, last checked 2026-11-21T12:00:00Z, tried again in 3 s": {Breaker: providers.BreakerOpen, LastCheck: at, RetryAfter: 2100 * time.Millisecond},
	} {
		if got := healthText(h); got != want {
			t.Errorf("%+v: %q, want %q", h, got, want)
		}
	}
}
