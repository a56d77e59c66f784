// Package exit has the exit codes of cas, and the errors that carry one.
package exit

import (
	"errors"
	"fmt"

	"casgate/gateway/problem"
)

// The exit codes, as docs/reference/exit-codes.md documents them. Those that a problem leads to are in
// the table of problems.
const (
	OK          = 0
	Failure     = problem.ExitFailure
	Usage       = problem.ExitUsage
	NotFound    = problem.ExitNotFound
	NotAllowed  = problem.ExitNotAllowed
	Corrupt     = problem.ExitCorrupt
	Unavailable = problem.ExitUnavailable
	Partly      = 7 // some of several failed
	Refused     = problem.ExitRefused
	UnderWay    = problem.ExitUnderWay
	Differs     = 10  // a comparison found differences, and repaired none
	TooMuch     = 11  // a collection would have removed more than its limits allow
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
