package main

import (
	"context"
	"errors"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// The exit codes, as README.md documents them.
const (
	exitOK          = 0
	exitFailure     = 1   // anything without a code of its own
	exitUsage       = 2   // wrong flags, arguments or settings
	exitNotFound    = 3   // no such blob, copy, provider, file or token
	exitNotAllowed  = 4   // no token, a wrong one, or one without the scope
	exitCorrupt     = 5   // bytes and digest don't belong together
	exitUnavailable = 6   // the gateway, the index, the store or a provider can't be reached now
	exitPartly      = 7   // of several, some failed
	exitRefused     = 8   // a provider refused: the file, for want of room, or the key
	exitUnderWay    = 9   // begun and not done yet; it goes on at the gateway
	exitDiffers     = 10  // a comparison found something to mend, and left it at that
	exitInterrupted = 130 // by a signal
)

// errReported ends a command that has already said what went wrong.
var errReported = errors.New("reported")

// usageError is a wrong setting: trying again without changing it is no use.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// codedError gives an error an exit code of its own.
type codedError struct {
	error
	code int
}

func (e codedError) Unwrap() error { return e.error }

// exitCode maps what a command returned to the code the process exits with.
func exitCode(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[codedError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, cas.ErrInvalidDigest):
		return exitUsage
	case errors.Is(err, cas.ErrBlobNotFound), errors.Is(err, cas.ErrFileNotFound), errors.Is(err, client.ErrProviderNotFound),
		errors.Is(err, client.ErrCopyNotFound), errors.Is(err, client.ErrOperationNotFound):
		return exitNotFound
	case errors.Is(err, client.ErrCopyInProgress):
		return exitUnderWay
	case errors.Is(err, client.ErrUnauthenticated), errors.Is(err, client.ErrForbidden):
		return exitNotAllowed
	case errors.Is(err, cas.ErrDigestMismatch), errors.Is(err, cas.ErrObjectCorrupt), errors.Is(err, cas.ErrObjectMissing):
		return exitCorrupt
	case errors.Is(err, cas.ErrIndexUnavailable), errors.Is(err, cas.ErrStoreUnavailable), errors.Is(err, client.ErrUnreachable),
		errors.Is(err, client.ErrFileOutOfReach):
		return exitUnavailable
	}
	if e, ok := errors.AsType[*client.Error](err); ok {
		return problemExitCode(e.Problem)
	}
	return exitFailure
}

// problemExitCode is the code of an answer that none of the errors above stands
// for.
func problemExitCode(p api.Problem) int {
	switch p.Code {
	case api.CodeProviderRejected, api.CodeProviderQuota:
		return exitRefused
	case api.CodeProviderUnavailable, api.CodeProviderRateLimited, api.CodeProviderTimeout:
		return exitUnavailable
	case api.CodeProviderFailed:
		if !p.Retryable { // such as a key that it doesn't take
			return exitRefused
		}
	}
	if p.Retryable {
		return exitUnavailable
	}
	return exitFailure
}
