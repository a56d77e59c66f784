// Package exit has the exit codes of cas, and the errors that carry one.
package exit

import (
	"errors"
	"fmt"
)

// The exit codes, as README.md documents them.
const (
	OK          = 0
	Failure     = 1   // an error without a code of its own
	Usage       = 2   // wrong flags, arguments or settings
	NotFound    = 3   // no such blob, copy, provider, file or token
	NotAllowed  = 4   // no token, a wrong token, or one without the scope
	Corrupt     = 5   // the bytes don't have the digest
	Unavailable = 6   // the gateway, the index, the store or a provider can't be reached now
	Partly      = 7   // some of several failed
	Refused     = 8   // a provider refused: the file, because it is full, or the key
	UnderWay    = 9   // started, and not finished yet; the gateway continues
	Differs     = 10  // a comparison found differences, and repaired none
	Interrupted = 130 // by a signal
)

// ErrReported ends a command that has already reported its errors.
var ErrReported = errors.New("reported")

// Error is an error with an exit code.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the error without the code.
func (e *Error) Unwrap() error { return e.Err }

// With gives an error an exit code. Nil stays nil.
func With(code int, err error) error {
	if err == nil {
		return nil
	}
	return &Error{code, err}
}

// Usagef returns an error about a wrong flag, argument or setting: to try again
// without changing it is no use.
func Usagef(format string, args ...any) error {
	return With(Usage, fmt.Errorf(format, args...))
}
