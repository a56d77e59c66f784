package guard

import (
	"context"
	"errors"

	"casgate/cas"
	"casgate/providers"
)

// verdict is what the end of a call says of the provider's health.
type verdict int

const (
	// silent: nothing. The call was not made, the caller gave up, or the content's
	// source failed.
	silent verdict = iota
	// answered: the provider works, also where it refused.
	answered
	// fault: the provider itself failed: a 5xx, no answer in time, a failed
	// connection, an answer that makes no sense.
	fault
)

// errCheckTimeout is the cause of the end of a health check's context. Everybody
// else's deadlines are the caller's own, and say nothing of the provider.
var errCheckTimeout = errors.New("the health check took too long")

// judge tells what the end of a call says of the provider.
func judge(ctx context.Context, c *call, err error) verdict {
	if err == nil {
		return answered
	}
	e, classified := errors.AsType[*providers.Error](err)
	switch {
	case errors.Is(err, errPanicked), isSource(err), isUnsent(err):
		return silent
	case classified && e.Status > 0:
		if e.Status >= 500 || e.Status < 400 && e.Code == providers.CodeBadAnswer {
			return ofKind(e, answered)
		}
		return answered
	case errors.Is(context.Cause(ctx), errCheckTimeout):
		return fault
	case ctx.Err() != nil, errors.Is(err, context.Canceled):
		return silent
	case !classified:
		// Nobody knows what it means, unless it broke off a stream.
		if c.op == providers.OpText || c.op == providers.OpDownload {
			return fault
		}
		return silent
	case e.Code == providers.CodeTimeout, e.Code == providers.CodeConnection, e.Code == providers.CodeBadAnswer:
		return ofKind(e, silent)
	case e.Kind == providers.KindLost, e.Kind == providers.KindQuota, e.Kind == providers.KindAuth && e.Code != providers.CodeNotConfigured:
		return answered // only the provider can have said so
	}
	return silent // found out without asking
}

// ofKind returns fault for errors of the kinds that faults are, and otherwise for
// those of which the adapter knows better, such as a 500 for a file that the
// provider will never take.
func ofKind(e *providers.Error, otherwise verdict) verdict {
	if e.Kind == providers.KindTransient || e.Kind == providers.KindUnknown {
		return fault
	}
	return otherwise
}

// isUnsent reports whether a call was not made, by our own decision.
func isUnsent(err error) bool {
	e, ok := errors.AsType[*providers.Error](err)
	return ok && e.Status == 0 && (e.Code == CodeLimited || e.Code == providers.CodeUnavailable)
}

// isSource reports whether an upload failed because the content could not be
// read.
func isSource(err error) bool {
	for _, source := range []error{
		cas.ErrObjectCorrupt, cas.ErrObjectMissing, cas.ErrDigestMismatch,
		cas.ErrBlobNotFound, cas.ErrStoreUnavailable, cas.ErrIndexUnavailable,
	} {
		if errors.Is(err, source) {
			return true
		}
	}
	return false
}

// asError returns the *providers.Error in err, or makes one of KindUnknown.
func asError(provider string, op providers.Op, err error) *providers.Error {
	if e, ok := errors.AsType[*providers.Error](err); ok {
		return e
	}
	return &providers.Error{Provider: provider, Op: op, Kind: providers.KindUnknown, Message: err.Error(), Cause: err}
}

// isUnavailable reports whether a breaker did not let a call through.
func isUnavailable(err error) bool {
	e, ok := errors.AsType[*providers.Error](err)
	return ok && e.Status == 0 && e.Code == providers.CodeUnavailable
}
