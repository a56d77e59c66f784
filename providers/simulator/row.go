package simulator

import (
	"time"

	"casgate/providers"
)

// Retry is what a provider's documentation says about repeating a call that
// failed.
type Retry string

// What it may say.
const (
	RetryUnsaid     Retry = ""               // nothing
	RetryNo         Retry = "no"             // it fails again
	RetryYes        Retry = "yes"            // later
	RetryAfterHint  Retry = "after the hint" // after the time it names
	RetryBounded    Retry = "bounded"        // a few times
	RetryAfterRoom  Retry = "after making room"
	RetryWithUpload Retry = "after another upload" // the file is gone
)

// ErrorRow is a row of a provider's table of errors.
type ErrorRow struct {
	// Op is a call that this error is known, or likely, to come from.
	Op     providers.Op
	Status int
	// Code is Kimi's "type", and GLM's "code".
	Code    string
	Message string
	Retry   Retry
	// Kinds are those that an adapter may make of it. There is more than one where the
	// documentation leaves open what has become of the call.
	Kinds []providers.Kind
	// TooMany is what the adapter's error must say, where it is of KindQuota or
	// RetryAfter is set.
	TooMany bool
	// RetryAfter is the time that Message names.
	RetryAfter time.Duration
}

// Fault returns a fault that answers with this row, so many times (0: until
// cleared).
func (e ErrorRow) Fault(times int) Fault {
	return Fault{Op: e.Op, Times: times, Kind: Refuse, Status: e.Status, Code: e.Code, Message: e.Message}
}
