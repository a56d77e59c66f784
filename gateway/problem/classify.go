package problem

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"casgate/cas"
	"casgate/providers"
)

// Of returns the answer for any error. An error that the table doesn't have is
// Internal, and its text stays in the log.
func Of(err error, operationID string) Details {
	d, ok := classify(err)
	switch {
	case ok:
		d.OperationID = operationID
		return d
	case errors.Is(err, context.Canceled): // not by the client, which then gets no answer
		return Overloaded.Details("The gateway is stopping. Nothing is lost; try again shortly.", operationID)
	}
	return Internal.Details(rows[Internal].advice, operationID)
}

// CodeOf returns the code of an error, and false where the table doesn't have it.
func CodeOf(err error) (Code, bool) {
	d, ok := classify(err)
	return d.Code, ok
}

// classify returns the answer for an error, and false where the table doesn't have
// it. Our own errors come before those of providers: if an upload to a provider
// fails because our own bytes can't be read, that is not the provider's fault.
func classify(err error) (Details, bool) {
	if e, ok := errors.AsType[*Error](err); ok {
		d := e.Code.Details(e.Detail, "")
		if e.RetryAfter > 0 {
			d.RetryAfter = ceilSeconds(e.RetryAfter)
		}
		return withParam(d, err), true
	}
	if e, ok := errors.AsType[*cas.InvalidField](err); ok {
		d := InvalidRequest.Details(fieldName(e)+" "+e.Problem, "")
		d.Param = fieldName(e)
		return withParam(d, err), true
	}
	atProvider, ok := errors.AsType[*providers.Error](err)
	if ok {
		// The bytes that an upload to a provider reads are our own, so a wrong digest is no
		// fault of the request.
		if fault, own := providers.GatewayFault(err); own {
			return withParam(Code(fault).ofError(err), err), true
		}
	}
	for _, code := range codes {
		if rows[code].matches(err) {
			return withParam(code.ofError(err), err), true
		}
	}
	if ok {
		return withParam(ofProvider(atProvider), err), true
	}
	return Details{}, false
}

// ofError returns the answer with this code for an error: with its text, unless that
// must stay in the log.
func (c Code) ofError(err error) Details {
	advice := rows[c].advice
	if advice != "" && errors.Is(err, cas.ErrUnconfirmed) {
		advice = unconfirmedAdvice
	}
	if advice != "" && errors.Is(err, cas.ErrDeleteUnconfirmed) {
		advice = deleteUnconfirmedAdvice
	}
	if full, ok := errors.AsType[*cas.StoreFull](err); ok && c == NoSpace {
		advice = fmt.Sprintf(storeFullAdvice, full.Reason)
	}
	if advice != "" {
		return c.Details(advice, "")
	}
	return c.Details(err.Error(), "")
}

// unconfirmedAdvice is the detail of the answer to an upload whose object is stored.
const unconfirmedAdvice = "The bytes are stored, but the index did not confirm the blob, so it may exist or not. Send the upload again: that is always safe, and nothing is stored twice."

// deleteUnconfirmedAdvice is the detail of the answer to a delete that may be done.
const deleteUnconfirmedAdvice = "The index did not confirm the delete, so it may be done or not. Send it again; if there is nothing to delete then, it was done."

// storeFullAdvice is the detail for a cas.StoreFull, with its reason.
const storeFullAdvice = "The object store has no room. It says: %q. The request was not acknowledged; send it again when there is room. Deleting makes room."

func withParam(d Details, err error) Details {
	if e, ok := errors.AsType[*paramError](err); ok {
		d.Param = e.param
	}
	return d
}

// fieldName returns the name that requests use for a file's field.
func fieldName(e *cas.InvalidField) string {
	if e.Field == "name" {
		return "filename"
	}
	return e.Field
}

// providerRow gives the errors of providers their codes.
type providerRow struct {
	kind    providers.Kind // empty: any
	code    string         // the Error's Code; empty: any
	limited bool           // the provider limits the rate, or the number or size of kept files
	result  Code
	final   bool // the same request will not succeed later, whatever the result's row says
}

// providerRows are tried in turn; the first that fits decides. The texts of these
// errors have no secrets in them, and are written for clients.
var providerRows = []providerRow{
	// The codes of providers.GatewayFault, which the ledger remembers.
	{code: providers.CodeObjectCorrupt, result: ObjectCorrupt},
	{code: providers.CodeObjectMissing, result: ObjectMissing},
	{code: providers.CodeBlobNotFound, result: BlobNotFound},
	{code: providers.CodeStoreUnavailable, result: StoreUnavailable},
	{code: providers.CodeIndexUnavailable, result: IndexUnavailable},
	{code: providers.CodeNoText, result: NoText},
	{kind: providers.KindPermanent, code: providers.CodeBadAnswer, result: ProviderFailed, final: true}, // no fault of the request
	{kind: providers.KindPermanent, result: ProviderRejected},
	{kind: providers.KindQuota, limited: true, result: ProviderQuota},
	{kind: providers.KindQuota, result: ProviderQuota, final: true}, // the account must be paid first
	{kind: providers.KindAuth, code: providers.CodeNotConfigured, result: ProviderUnavailable, final: true},
	{kind: providers.KindAuth, result: ProviderFailed, final: true}, // a refused key stays refused
	{kind: providers.KindTransient, code: providers.CodeUnavailable, result: ProviderUnavailable},
	{code: providers.CodeTimeout, result: ProviderTimeout},
	{kind: providers.KindTransient, limited: true, result: ProviderRateLimited},
	{result: ProviderFailed}, // other transient and unknown errors, and lost files
}

// ofProvider returns the answer for an error of a provider.
func ofProvider(e *providers.Error) Details {
	limited := e.TooMany || e.Kind == providers.KindTransient && e.Status == http.StatusTooManyRequests
	var found providerRow
	for _, found = range providerRows {
		if (found.kind == "" || found.kind == e.Kind) && (found.code == "" || found.code == e.Code) && (!found.limited || limited) {
			break
		}
	}
	d := found.result.Details(e.Error(), "")
	d.Provider, d.ProviderCode, d.ProviderMessage = e.Provider, e.Code, e.Message
	switch {
	case found.final:
		d.Retryable, d.RetryAfter = false, 0
	case d.Retryable && e.RetryAfter > 0:
		d.RetryAfter = ceilSeconds(e.RetryAfter)
	}
	return d
}

// NeedsOperator reports whether another attempt can't succeed before somebody changes
// something, such as a key.
func NeedsOperator(e *providers.Error) bool { return !Of(e, "").Retryable }

// ceilSeconds rounds up, so that a client that waits this long is not too early.
func ceilSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
