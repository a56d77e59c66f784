package report

import (
	"context"
	"errors"

	"casgate/cas"
	"casgate/cmd/cas/internal/exit"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// ExitCode returns the exit code of a command that returned err.
func ExitCode(ctx context.Context, err error) int {
	if err == nil {
		return exit.OK
	}
	if e, ok := errors.AsType[*exit.Error](err); ok {
		return e.Code
	}
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exit.Interrupted
	case errors.Is(err, cas.ErrInvalidDigest):
		return exit.Usage
	case errors.Is(err, cas.ErrBlobNotFound), errors.Is(err, cas.ErrFileNotFound), errors.Is(err, client.ErrProviderNotFound),
		errors.Is(err, client.ErrCopyNotFound), errors.Is(err, client.ErrOperationNotFound):
		return exit.NotFound
	case errors.Is(err, client.ErrCopyInProgress):
		return exit.UnderWay
	case errors.Is(err, client.ErrUnauthenticated), errors.Is(err, client.ErrForbidden):
		return exit.NotAllowed
	case errors.Is(err, cas.ErrDigestMismatch), errors.Is(err, cas.ErrObjectCorrupt), errors.Is(err, cas.ErrObjectMissing):
		return exit.Corrupt
	case errors.Is(err, cas.ErrIndexUnavailable), errors.Is(err, cas.ErrStoreUnavailable), errors.Is(err, client.ErrUnreachable),
		errors.Is(err, client.ErrFileOutOfReach):
		return exit.Unavailable
	}
	if e, ok := errors.AsType[*client.Error](err); ok {
		return problemExitCode(e.Problem)
	}
	return exit.Failure
}

// problemExitCode is the code of an answer that none of the errors above stands
// for.
func problemExitCode(p api.Problem) int {
	switch p.Code {
	case api.CodeProviderRejected, api.CodeProviderQuota:
		return exit.Refused
	case api.CodeProviderUnavailable, api.CodeProviderRateLimited, api.CodeProviderTimeout:
		return exit.Unavailable
	case api.CodeProviderFailed:
		if !p.Retryable { // such as a key that it doesn't take
			return exit.Refused
		}
	}
	if p.Retryable {
		return exit.Unavailable
	}
	return exit.Failure
}
