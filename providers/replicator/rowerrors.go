package replicator

import (
	"errors"
	"fmt"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// errLeaseLost: another gateway has claimed the row that this process worked on.
var errLeaseLost = errors.New("the lease was lost")

const (
	// patience is the longest delay between two attempts that a caller waits for. With a
	// longer delay the caller gets the failure, and the queue makes the next attempt.
	patience = 10 * time.Second
)

// waitError returns the error for a caller if waiting for the row is useless, or nil.
func waitError(c ledger.Copy) error {
	soon := time.Until(c.LeaseUntil) > 0 || untilDue(c) <= patience
	switch {
	case soon && (c.State == ledger.StatePending || c.State == ledger.StateDeleting):
		return nil
	case c.State == ledger.StatePending: // the next attempt is not soon
		e := lastError(c)
		e.RetryAfter = max(untilDue(c), time.Second)
		return &e
	}
	return idleError(c)
}

// idleError returns why a missing copy is not being made. It is nil if a gateway makes it,
// or will.
func idleError(c ledger.Copy) error {
	e := lastError(c)
	e.RetryAfter = 0
	if !c.NextAttemptAt.IsZero() {
		e.RetryAfter = max(untilDue(c), time.Second)
	}
	switch c.State {
	case ledger.StateFailed:
		return &e
	case ledger.StateLost:
		if untilDue(c) <= 0 {
			return nil
		}
		e.Kind, e.Code, e.Status = providers.KindLost, "kept_losing", 0
		e.Message = fmt.Sprintf("%s has lost the file %d times recently", c.Provider, c.Losses)
		e.Hint = "the account's files may be removed by somebody else; it is not uploaded again for a while"
		return &e
	case ledger.StateDeleting:
		return fmt.Errorf("%w: it is being deleted at %s, which has not confirmed it yet", providers.ErrCopyInProgress, c.Provider)
	}
	return nil
}

// lastError returns the error of the last attempt.
func lastError(c ledger.Copy) providers.Error {
	if c.Error != nil {
		return *c.Error
	}
	return providers.Error{Provider: c.Provider, Op: providers.OpUpload, Kind: providers.KindTransient}
}

// untilDue returns the time until a row is due. It is very long for a row that is never
// due by itself.
func untilDue(c ledger.Copy) time.Duration {
	if c.NextAttemptAt.IsZero() {
		return 1 << 62
	}
	return time.Until(c.NextAttemptAt)
}

// unavailable returns an error while a provider's breaker is open.
func unavailable(p providers.Guarded) error {
	h := p.Health()
	if h.Breaker != providers.BreakerOpen {
		return nil
	}
	e := &providers.Error{
		Provider: p.Describe().Provider, Op: providers.OpCheck, Kind: providers.KindTransient, Code: providers.CodeUnavailable,
		Message: "the provider failed too often recently, so calls to it stop for a while", RetryAfter: max(h.RetryAfter, time.Second),
		Hint: "try again shortly; it is being checked in the background",
	}
	if h.LastError != nil {
		e.Message += " (last: " + h.LastError.Error() + ")"
	}
	return e
}
