package gateway

import (
	"sync"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"
)

// limitUploads answers 503 at once, before the body is read, where as many
// uploads as allowed are under way.
func (g *Gateway) limitUploads(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		select {
		case g.uploads <- struct{}{}:
		default:
			return errOverloaded
		}
		defer func() { <-g.uploads }()
		return next(c)
	}
}

// rateLimits bounds the requests of each token in this process.
type rateLimits struct {
	perSecond float64 // 0: no bound
	mu        sync.Mutex
	limiters  map[string]*rate.Limiter
}

func newRateLimits(perSecond float64) *rateLimits {
	return &rateLimits{perSecond: perSecond, limiters: map[string]*rate.Limiter{}}
}

// allow takes one request off the token's allowance, if it has any. The token
// was checked before, so there are no more limiters than tokens.
func (r *rateLimits) allow(tokenID string) bool {
	if r.perSecond <= 0 {
		return true
	}
	r.mu.Lock()
	limiter := r.limiters[tokenID]
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Limit(r.perSecond), max(1, int(2*r.perSecond)))
		r.limiters[tokenID] = limiter
	}
	r.mu.Unlock()
	return limiter.Allow()
}
