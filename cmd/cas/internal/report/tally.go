// Package report tells the results of a command: which parts of it failed, what to do
// about an error, and what became of copies at providers.
package report

import (
	"context"
	"errors"

	"casgate/cmd/cas/internal/exit"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// Tally counts the results of several parts of a command. One part may fail without
// stopping the others.
type Tally struct {
	total, underWay, failed int
	first                   error // of those that failed
}

// Add counts the result of one part. A part with the exit code exit.UnderWay has not failed:
// the gateway continues it.
func (t *Tally) Add(err error) {
	t.total++
	switch {
	case err == nil:
	case ExitCode(context.Background(), err) == exit.UnderWay:
		t.underWay++
	default:
		t.failed++
		if t.first == nil {
			t.first = err
		}
	}
}

// Err returns the error to end the command with, after it has reported each failure
// itself. If no part failed, and some are under way, the exit code is exit.UnderWay: a
// script that waits for the end needs it, however many other parts are done. If all parts
// failed, it is that of the first failure, and exit.Partly if some did.
func (t *Tally) Err(ctx context.Context) error {
	switch {
	case t.failed == 0 && t.underWay == 0:
		return nil
	case t.failed == 0:
		return exit.With(exit.UnderWay, exit.ErrReported)
	case t.failed == t.total:
		return exit.With(ExitCode(ctx, t.first), exit.ErrReported)
	}
	return exit.With(exit.Partly, exit.ErrReported)
}

// StopsAll reports whether all other parts of a command would fail with the same
// error. The command can stop then.
func StopsAll(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() != nil ||
		errors.Is(err, problem.Unauthenticated) || errors.Is(err, problem.Forbidden) || errors.Is(err, client.ErrWrongPath)
}

// JSONError is an error in the JSON output of a command.
type JSONError struct {
	Code        problem.Code `json:"code,omitempty"` // of an error that the gateway answered
	Message     string       `json:"message"`
	OperationID string       `json:"operation_id,omitempty"`
}

// NewJSONError returns err for JSON output, and nil for nil.
func NewJSONError(err error) *JSONError {
	if err == nil {
		return nil
	}
	e := &JSONError{Message: err.Error()}
	if answer, ok := errors.AsType[*client.Error](err); ok {
		e.Code, e.OperationID = answer.Problem.Code, answer.Problem.OperationID
	}
	return e
}
