package guard

import (
	"context"
	"errors"

	"casgate/providers"
)

// healthSignal is what the outcome of a call says about the provider's health.
type healthSignal int

const (
	// noSignal: nothing. The call was not made, the caller stopped waiting, or the
	// gateway itself failed.
	noSignal healthSignal = iota
	// answered: the provider works. It may have refused the call.
	answered
	// fault: the provider itself failed: a 5xx, no answer in time, a failed
	// connection, an answer that makes no sense.
	fault
)

// errCheckTimeout is the cause of the end of a health check's context. All other
// deadlines are the caller's, and say nothing about the provider.
var errCheckTimeout = errors.New("the health check took too long")

// classify returns what the outcome of a call says about the provider's health.
func classify(ctx context.Context, c *call, err error) healthSignal {
	if err == nil {
		return answered
	}
	e, classified := errors.AsType[*providers.Error](err)
	_, own := providers.GatewayFault(err)
	switch {
	case errors.Is(err, errPanicked), own, isUnsent(err):
		return noSignal
	case classified && e.Status > 0:
		if e.Status >= 500 || e.Status < 400 && e.Code == providers.CodeBadAnswer {
			return ofKind(e, answered)
		}
		return answered
	case errors.Is(context.Cause(ctx), errCheckTimeout):
		return fault
	case ctx.Err() != nil, errors.Is(err, context.Canceled):
		return noSignal
	case !classified:
		// An error without a kind is a fault only if it broke off a stream.
		if c.op == providers.OpText || c.op == providers.OpDownload {
			return fault
		}
		return noSignal
	case e.Code == providers.CodeTimeout, e.Code == providers.CodeConnection, e.Code == providers.CodeBadAnswer:
		return ofKind(e, noSignal)
	case e.Kind == providers.KindLost, e.Kind == providers.KindQuota, e.Kind == providers.KindAuth && e.Code != providers.CodeNotConfigured:
		return answered // only an answer of the provider has this kind
	}
	return noSignal // found without a call
}

// ofKind returns fault for KindTransient and KindUnknown. For all other kinds it
// returns otherwise: the adapter knows more than the status, such as for a 500 that
// means that the provider will never accept the file.
func ofKind(e *providers.Error, otherwise healthSignal) healthSignal {
	if e.Kind == providers.KindTransient || e.Kind == providers.KindUnknown {
		return fault
	}
	return otherwise
}

// isUnsent reports whether a decorator didn't make the call.
func isUnsent(err error) bool {
	e, ok := errors.AsType[*providers.Error](err)
	return ok && e.Status == 0 && (e.Code == CodeLimited || e.Code == providers.CodeUnavailable)
}

// asError returns the *providers.Error in err, or makes one of KindUnknown.
func asError(provider string, op providers.Op, err error) *providers.Error {
	if e, ok := errors.AsType[*providers.Error](err); ok {
		return e
	}
	return &providers.Error{Provider: provider, Op: op, Kind: providers.KindUnknown, Message: err.Error(), Cause: err}
}

// isUnavailable reports whether an open breaker refused the call.
func isUnavailable(err error) bool {
	e, ok := errors.AsType[*providers.Error](err)
	return ok && e.Status == 0 && e.Code == providers.CodeUnavailable
}
