package main

import (
	"context"
	"errors"

	"casgate/cas"
	"casgate/gateway/client"
)

// The exit codes, as README.md documents them.
const (
	exitOK          = 0
	exitFailure     = 1   // anything without a code of its own
	exitUsage       = 2   // wrong flags, arguments or settings
	exitNotFound    = 3   // no such blob, file or token
	exitNotAllowed  = 4   // no token, a wrong one, or one without the scope
	exitCorrupt     = 5   // bytes and digest don't belong together
	exitUnavailable = 6   // the gateway, the index or the store can't be reached now
	exitPartly      = 7   // of several, some failed
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
	case errors.Is(err, cas.ErrBlobNotFound):
		return exitNotFound
	case errors.Is(err, client.ErrUnauthenticated), errors.Is(err, client.ErrForbidden):
		return exitNotAllowed
	case errors.Is(err, cas.ErrDigestMismatch), errors.Is(err, cas.ErrObjectCorrupt), errors.Is(err, cas.ErrObjectMissing):
		return exitCorrupt
	case errors.Is(err, cas.ErrIndexUnavailable), errors.Is(err, cas.ErrStoreUnavailable), errors.Is(err, client.ErrUnreachable):
		return exitUnavailable
	}
	if e, ok := errors.AsType[*client.Error](err); ok && e.Problem.Retryable {
		return exitUnavailable
	}
	return exitFailure
}
