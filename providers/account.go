package providers

import "time"

// Guarded is a Provider with its decorators, and what they know of its health.
// guard.Guard is one.
type Guarded interface {
	Provider
	// Health returns how the provider fares, without asking it.
	Health() Health
}

// Health is how a provider fares.
type Health struct {
	// Available: as far as is known, calls succeed. It is false while the breaker is
	// open, and after the provider has refused the credential.
	Available bool
	// Breaker is closed, open or half-open.
	Breaker string
	// RetryAfter is when calls are let through again, where they aren't now.
	RetryAfter time.Duration
	// LastCheck is when the provider last answered or failed to; zero: never yet.
	LastCheck time.Time
	// LastError is the last call's that failed for the provider's fault; nil where
	// the one after it went well.
	LastError *Error
}

// The states of a breaker.
const (
	BreakerClosed   = "closed"    // calls are let through
	BreakerOpen     = "open"      // none is
	BreakerHalfOpen = "half-open" // a few are, to find out
)
