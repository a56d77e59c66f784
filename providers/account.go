package providers

import "time"

// Guarded is a Provider with decorators, which know its health. guard.Guard implements
// it.
type Guarded interface {
	Provider
	// Health returns the provider's health. It makes no call.
	Health() Health
}

// Health is the health of a provider.
type Health struct {
	// Available: calls are expected to succeed. It is false while the breaker is open, and
	// after the provider refused the credential.
	Available bool
	// Breaker is closed, open or half-open.
	Breaker string
	// RetryAfter is the time until the breaker lets calls through again; 0 if it does
	// now.
	RetryAfter time.Duration
	// HeldUntil is the time before which no upload is sent, since the provider refused one for its
	// rate; zero: uploads are sent.
	HeldUntil time.Time
	// LastCheck is when the provider last answered or failed; zero means never yet.
	LastCheck time.Time
	// LastError is the error of the last call that failed by the provider's fault; nil
	// after a successful call.
	LastError *Error
}

// The states of a breaker.
const (
	BreakerClosed   = "closed"    // all calls pass
	BreakerOpen     = "open"      // no call passes
	BreakerHalfOpen = "half-open" // a single call passes, as a test
)
