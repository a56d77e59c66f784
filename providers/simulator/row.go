package simulator

import (
	"time"

	"casgate/providers"
)

// Retry is what a provider's documentation says about repeating a failed call.
type Retry string

// The advice in documentations.
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
	// Op is a call that is known or likely to fail with this error.
	Op     providers.Op
	Status int
	// Code is Kimi's "type", and GLM's "code".
	Code    string
	Message string
	Retry   Retry
	// Kinds are the kinds that an adapter may choose. There are several if the
	// documentation doesn't say what happened to the call.
	Kinds []providers.Kind
	// TooMany is the expected TooMany of the adapter's error, if its kind is KindQuota or
	// RetryAfter is set.
	TooMany bool
	// Means is the code of the adapter's error, if that isn't Code.
	Means string
	// RetryAfter is the wait that Message contains.
	RetryAfter time.Duration
}

// Fault returns a fault that answers with this row for a number of times; 0 means until
// Control.Clear.
func (e ErrorRow) Fault(times int) Fault {
	return Fault{Op: e.Op, Times: times, Kind: Refuse, Status: e.Status, Code: e.Code, Message: e.Message}
}

// The kinds of most rows.
var (
	Permanent = []providers.Kind{providers.KindPermanent}
	Transient = []providers.Kind{providers.KindTransient}
	Quota     = []providers.Kind{providers.KindQuota}
	Auth      = []providers.Kind{providers.KindAuth}
	Lost      = []providers.Kind{providers.KindLost}
	// Unclear is for a 5xx, which doesn't prove that nothing was done.
	Unclear = []providers.Kind{providers.KindUnknown, providers.KindTransient}
)

// UploadRow returns a row about uploads, where most errors are met first.
func UploadRow(status int, code, message string, retry Retry, kinds []providers.Kind) ErrorRow {
	return ErrorRow{Op: providers.OpUpload, Status: status, Code: code, Message: message, Retry: retry, Kinds: kinds}
}

// Waiting returns a fault that answers once with this row, and with a header
// Retry-After that has the wait; 0 means no header.
func (e ErrorRow) Waiting(wait time.Duration) Fault {
	f := e.Fault(1)
	f.RetryAfter = wait
	return f
}
