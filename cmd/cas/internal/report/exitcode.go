package report

import (
	"context"
	"errors"

	"casgate/cmd/cas/internal/exit"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// ExitCode returns the exit code of a command that returned err.
func ExitCode(ctx context.Context, err error) int {
	if err == nil {
		return exit.OK
	}
	if e, ok := errors.AsType[*exit.Error](err); ok {
		return e.Code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exit.Interrupted
	}
	if e, ok := errors.AsType[*client.Error](err); ok {
		return e.Problem.ExitCode()
	}
	if code, ok := problem.CodeOf(err); ok {
		return code.ExitCode()
	}
	if errors.Is(err, client.ErrWrongPath) {
		return exit.Usage
	}
	if errors.Is(err, client.ErrUnreachable) {
		return exit.Unavailable
	}
	return exit.Failure
}
