package auth

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"casgate/gateway/problem"
)

// maxLimited bounds the tokens or addresses that a limits counts.
const maxLimited = 10_000

// limits bounds how often each token, or each address, does something in this process.
type limits struct {
	rate     rate.Limit // 0: no bound
	burst    int
	mu       sync.Mutex
	limiters map[string]*rate.Limiter
}

func newLimits(perSecond rate.Limit, burst int) *limits {
	return &limits{rate: perSecond, burst: burst, limiters: map[string]*rate.Limiter{}}
}

// newRateLimits returns limits of the requests of each token, with bursts of twice as many.
func newRateLimits(perSecond float64) *limits {
	return newLimits(rate.Limit(perSecond), max(1, int(2*perSecond)))
}

// newLoginLimits returns limits of the log-ins with wrong tokens from each address.
func newLoginLimits() *limits {
	return newLimits(rate.Every(time.Minute/loginsPerMinute), loginsPerMinute)
}

// take takes one off the allowance of a key. If nothing is left, it returns how long it
// takes until there is.
func (l *limits) take(key string) (wait time.Duration) {
	if l.rate <= 0 {
		return 0
	}
	limiter, now := l.limiter(key), time.Now()
	if limiter.AllowN(now, 1) {
		return 0
	}
	// Reserve and Cancel at the same time as other requests would take from the allowance.
	missing := (1 - limiter.TokensAt(now)) / float64(l.rate)
	return max(1, time.Duration(missing*float64(time.Second)))
}

func (l *limits) limiter(key string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.limiters[key]
	if limiter == nil {
		if len(l.limiters) >= maxLimited {
			l.forget()
		}
		limiter = rate.NewLimiter(l.rate, l.burst)
		l.limiters[key] = limiter
	}
	return limiter
}

// forget removes the keys that have their whole allowance again, or all if there are none.
// The caller holds mu.
func (l *limits) forget() {
	for key, limiter := range l.limiters {
		if limiter.Tokens() >= float64(l.burst) {
			delete(l.limiters, key)
		}
	}
	if len(l.limiters) >= maxLimited {
		clear(l.limiters)
	}
}

// errTooMany is the error of a request that may be sent again after a time.
func errTooMany(detail string, wait time.Duration) error {
	seconds := int(math.Ceil(wait.Seconds()))
	return &problem.Error{Code: problem.TooManyRequests, Detail: fmt.Sprintf("%s. Try again in %d s.", detail, seconds), RetryAfter: wait}
}

// checkRate takes one request off the allowance of a token.
func (a *Authorizer) checkRate(tokenID string) error {
	if wait := a.rates.take(tokenID); wait > 0 {
		return errTooMany("this token makes more requests a second than allowed", wait)
	}
	return nil
}

// checkLogins takes one log-in off the allowance of an address.
func (a *Authorizer) checkLogins(remote string) error {
	if wait := a.logins.take(loginAddress(remote)); wait > 0 {
		return errTooMany("More than 5 wrong tokens came from this address within a minute", wait)
	}
	return nil
}

// loginAddress returns the part of a remote address that one client can't choose: an IPv6
// client has a whole /64.
func loginAddress(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	address, err := netip.ParseAddr(host)
	if err != nil || address.Unmap().Is4() {
		return host
	}
	prefix, err := address.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return prefix.String()
}
