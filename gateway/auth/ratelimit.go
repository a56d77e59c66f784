package auth

import (
	"sync"

	"golang.org/x/time/rate"
)

// rateLimits bounds the requests of each token in this process.
type rateLimits struct {
	perSecond float64 // 0: no bound
	mu        sync.Mutex
	limiters  map[string]*rate.Limiter
}

func newRateLimits(perSecond float64) *rateLimits {
	return &rateLimits{perSecond: perSecond, limiters: map[string]*rate.Limiter{}}
}

// allow takes one request off the allowance of a token, and reports false if nothing is
// left of it. The token is valid, so there are no more limiters than tokens.
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
