package openaicompat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"casgate/providers"
)

// maxRetryAfter bounds what a provider may ask for.
const maxRetryAfter = 24 * time.Hour

// errNoAnswer is the cause of our own time-outs.
var errNoAnswer = errors.New("no answer in time")

// failure makes an error that an adapter found, redacted.
func (f *Files) failure(e providers.Error) error {
	e.Provider = f.description.Provider
	f.redactor.clean(&e)
	return &e
}

// BadAnswer returns the error for an answer that makes no sense: after an upload
// nobody knows what became of the file, and every other call may be repeated.
func (f *Files) BadAnswer(op providers.Op, status int, message string) error {
	return f.failure(providers.Error{Op: op, Kind: unlessUpload(op, providers.KindTransient), Status: status, Code: providers.CodeBadAnswer, Message: message})
}

// Refuse returns an error of KindPermanent for what isn't worth asking the
// provider. The cause may be nil.
func (f *Files) Refuse(op providers.Op, code, message string, cause error) error {
	return f.failure(providers.Error{Op: op, Kind: providers.KindPermanent, Code: code, Message: message, Cause: cause})
}

// unlessUpload returns the kind, except for an upload: that has an unknown outcome.
func unlessUpload(op providers.Op, kind providers.Kind) providers.Kind {
	if op == providers.OpUpload {
		return providers.KindUnknown
	}
	return kind
}

// broken makes an error of a request without a whole answer. Caller is the context
// that the call came with, and call the one derived from it that bounds it. Sent
// says that the request may have reached the provider.
func (f *Files) broken(caller, call context.Context, op providers.Op, sent bool, err error) error {
	e := providers.Error{Op: op, Kind: providers.KindTransient, Code: providers.CodeConnection, Cause: err}
	if sent {
		e.Kind = unlessUpload(op, e.Kind)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // the rest says again what the call was
	}
	e.Message = err.Error()
	switch {
	case errors.Is(caller.Err(), context.DeadlineExceeded):
		e.Code, e.Message, e.Cause = providers.CodeTimeout, "there was no answer in the time the caller had", context.DeadlineExceeded
	case caller.Err() != nil:
		e.Code, e.Message, e.Cause = "", "the call was given up before the answer came", caller.Err()
	case errors.Is(context.Cause(call), errNoAnswer):
		// The context's own error must not show: it would be taken for the caller's.
		e.Code, e.Message, e.Cause = providers.CodeTimeout, errNoAnswer.Error(), errNoAnswer
	}
	return f.failure(e)
}

// sourceFailed makes an error of content that could not be read to its end. The
// provider never got the whole request, and so stored nothing.
func (f *Files) sourceFailed(caller context.Context, err error) error {
	e := providers.Error{Op: providers.OpUpload, Kind: providers.KindTransient, Message: "the content could not be read to its end; nothing was stored", Cause: err}
	if done := caller.Err(); done != nil && !errors.Is(err, done) {
		e.Cause = fmt.Errorf("%w: %w", done, err)
	}
	return f.failure(e)
}

// refusal makes an error of an answer that tells of a failure; nil where it
// doesn't. What the body says comes before the status, since some providers
// answer 200 to what they refuse.
func (f *Files) refusal(op providers.Op, status int, header http.Header, body []byte) error {
	p := ParseProblem(body)
	if success(status) && !p.Stated {
		return nil
	}
	e := providers.Error{
		Provider: f.description.Provider, Op: op, Status: status,
		Code: cmp.Or(p.Code, p.Type), Message: p.Message, RetryAfter: retryAfter(header),
		Kind: kindOf(op, status, p),
	}
	within := p.statusWithin(status)
	e.TooMany = within == http.StatusTooManyRequests
	switch {
	case !p.JSON && status >= 500:
		e.Code, e.Message = providers.CodeBadAnswer, fmt.Sprintf("%s, and no JSON: something between us and the provider failed", statusText(status))
	case !p.Said():
		e.Message = statusText(status)
	}
	switch {
	case e.Kind == providers.KindAuth:
		e.Hint = "check " + f.Variable("API_KEY")
	case within == http.StatusRequestEntityTooLarge:
		e.Hint = "split the file, or make it smaller"
	case e.Kind == providers.KindPermanent && (status < 400 || status == http.StatusNotFound || status == http.StatusMethodNotAllowed):
		e.Hint = "check " + f.Variable("BASE_URL")
		if to, err := url.Parse(header.Get("Location")); err == nil && status < 400 && to.Host != "" {
			e.Message = fmt.Sprintf("%s to %s, which is not followed", statusText(status), to.Host)
		}
	}
	if f.api.Judge != nil {
		f.api.Judge(&e, p)
	}
	if e.Kind == providers.KindPermanent && e.Hint == "" {
		e.Hint = "the provider refuses it for good; check the file's kind, size and purpose against what it says"
	}
	if e.Kind != providers.KindTransient && e.Kind != providers.KindQuota {
		e.TooMany = false
	}
	return f.failure(e)
}

func success(status int) bool { return status >= 200 && status < 300 }

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return strconv.Itoa(status) + " " + text
	}
	return "status " + strconv.Itoa(status)
}

// Variable returns the name of the environment variable that has this setting of
// the provider, for hints.
func (f *Files) Variable(what string) string { return variable(f.description.Provider, what) }

// kindOf judges a failure by its status alone.
func kindOf(op providers.Op, status int, p Problem) providers.Kind {
	within := p.statusWithin(status)
	switch {
	case success(within): // it says that it failed, and not how
		return unlessUpload(op, providers.KindTransient)
	case within == http.StatusUnauthorized, within == http.StatusForbidden:
		return providers.KindAuth
	case within == http.StatusPaymentRequired:
		return providers.KindQuota
	case within == http.StatusNotFound, within == http.StatusGone:
		// Without the provider's word it may be the wrong place that was asked.
		if p.Said() && aboutFile(op) {
			return providers.KindLost
		}
		return providers.KindPermanent
	case within == http.StatusRequestTimeout, within == http.StatusConflict, within == http.StatusLocked,
		within == http.StatusTooEarly, within == http.StatusTooManyRequests:
		return providers.KindTransient
	case within == statusClientClosed:
		return unlessUpload(op, providers.KindTransient)
	case within < 500:
		return providers.KindPermanent
	case within == http.StatusGatewayTimeout, !p.Said():
		// Something between gave up waiting; what lies behind it may have done the work.
		return unlessUpload(op, providers.KindTransient)
	}
	return providers.KindTransient
}

// statusClientClosed says that a server thinks its client has left.
const statusClientClosed = 499

// aboutFile reports whether a call names a remote file.
func aboutFile(op providers.Op) bool {
	switch op {
	case providers.OpUpload, providers.OpList, providers.OpCheck:
		return false
	}
	return true
}

// retryAfter reads how long an answer asks to wait; 0 where it doesn't say.
func retryAfter(header http.Header) time.Duration {
	if ms, err := strconv.ParseFloat(header.Get("Retry-After-Ms"), 64); err == nil {
		return Wait(ms / 1000)
	}
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return Wait(seconds)
	}
	if at, err := http.ParseTime(text); err == nil {
		return Wait(time.Until(at).Seconds())
	}
	return 0
}

// Wait returns seconds as a time to wait: never negative, and at most a day.
func Wait(seconds float64) time.Duration {
	if !(seconds > 0) { // NaN, too
		return 0
	}
	return time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
}
