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

// maxRetryAfter limits the wait that a provider may ask for: one wrong answer must not stop an account
// for a day. Kimi names an hour itself. While a limit lasts longer, one call in this time is refused again.
const maxRetryAfter = time.Hour

// failure makes an error without secrets.
func (c *Client) failure(e providers.Error) error {
	e.Provider = c.description.Provider
	c.redactor.clean(&e)
	return &e
}

// BadAnswer returns the error for an answer that makes no sense. After an upload the
// outcome is then unknown; all other calls are safe to repeat.
func (c *Client) BadAnswer(op providers.Op, status int, message string) error {
	return c.failure(providers.Error{Op: op, Kind: unlessUpload(op, providers.KindTransient), Status: status, Code: providers.CodeBadAnswer, Message: message})
}

// Refuse returns an error of KindPermanent for a call that the client doesn't make.
// The cause may be nil.
func (c *Client) Refuse(op providers.Op, code, message string, cause error) error {
	return c.failure(providers.Error{Op: op, Kind: providers.KindPermanent, Code: code, Message: message, Cause: cause})
}

// unlessUpload returns KindUnknown for an upload, and otherwise the given kind.
func unlessUpload(op providers.Op, kind providers.Kind) providers.Kind {
	if op == providers.OpUpload {
		return providers.KindUnknown
	}
	return kind
}

// broken makes the error of a request without a complete answer. The context caller
// is the caller's, and call is the one derived from it with the client's own time
// limit. Sent: the request may have reached the provider.
func (c *Client) broken(caller, call context.Context, op providers.Op, sent bool, err error) error {
	e := providers.Error{Op: op, Kind: providers.KindTransient, Code: providers.CodeConnection, Cause: err}
	if sent {
		e.Kind = unlessUpload(op, e.Kind)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // the rest only repeats the call
	}
	e.Message = err.Error()
	timeout, timedOut := errors.AsType[timeoutError](context.Cause(call))
	switch {
	case errors.Is(caller.Err(), context.DeadlineExceeded):
		e.Code, e.Message, e.Cause = providers.CodeTimeout, "there was no answer before the caller's deadline", context.DeadlineExceeded
	case caller.Err() != nil:
		e.Code, e.Message, e.Cause = "", "the caller stopped waiting before the answer came", caller.Err()
	case timedOut:
		// The context's own error must not be visible: it would look like the caller's.
		e.Code, e.Message, e.Cause = providers.CodeTimeout, timeout.Error(), timeout
	}
	return c.failure(e)
}

// sourceFailed makes the error of an upload whose content could not be read to its
// end. The provider didn't get the whole request, so it stored nothing.
func (c *Client) sourceFailed(caller context.Context, err error) error {
	e := providers.Error{Op: providers.OpUpload, Kind: providers.KindTransient, Message: "the content could not be read to its end; nothing was stored", Cause: err}
	if done := caller.Err(); done != nil && !errors.Is(err, done) {
		e.Cause = fmt.Errorf("%w: %w", done, err)
	}
	return c.failure(e)
}

// refusal makes the error of an answer that reports a failure; otherwise it returns
// nil. The body counts more than the status, since some providers send errors with
// status 200.
func (c *Client) refusal(op providers.Op, status int, header http.Header, body []byte) error {
	p := c.dialect.ParseErrorBody(body)
	if success(status) && !p.Stated {
		return nil
	}
	e := providers.Error{
		Provider: c.description.Provider, Op: op, Status: status,
		Code: cmp.Or(p.Code, p.Type), Message: p.Message, RetryAfter: retryAfter(header),
		Kind: kindOf(op, status, p),
	}
	within := p.statusWithin(status)
	e.TooMany = within == http.StatusTooManyRequests
	switch {
	case !p.JSON && status >= 500:
		e.Code, e.Message = providers.CodeBadAnswer, fmt.Sprintf("%s, and no JSON: a proxy in front of the provider failed", statusText(status))
	case !p.HasDetail():
		e.Message = statusText(status)
	}
	switch {
	case within == http.StatusTooManyRequests && p.Type == "" && namesBalance(cmp.Or(p.Message, string(body))):
		// The status of a rate limit, but waiting doesn't help.
		e.Kind, e.TooMany = providers.KindQuota, false
		e.Hint = "check the account's plan and balance"
	case e.Kind == providers.KindAuth:
		e.Hint = "check " + c.Variable("API_KEY")
	case within == http.StatusRequestEntityTooLarge:
		e.Hint = "split the file, or make it smaller"
	case e.Kind == providers.KindPermanent && (within < 400 || within == http.StatusNotFound || within == http.StatusMethodNotAllowed):
		e.Hint = "check " + c.Variable("BASE_URL")
		if to, err := url.Parse(header.Get("Location")); err == nil && status < 400 && to.Host != "" {
			e.Message = fmt.Sprintf("%s to %s, which is not followed", statusText(status), to.Host)
		}
	}
	if c.dialect.ClassifyError != nil {
		c.dialect.ClassifyError(&e, p)
	}
	if e.Kind == providers.KindPermanent && e.Hint == "" {
		e.Hint = "the provider refuses the file; check its type, size and purpose against the message"
	}
	if e.Kind != providers.KindTransient && e.Kind != providers.KindQuota {
		e.TooMany = false
	}
	return c.failure(e)
}

func success(status int) bool { return status >= 200 && status < 300 }

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return strconv.Itoa(status) + " " + text
	}
	return "status " + strconv.Itoa(status)
}

// Variable returns the name of the environment variable for a setting of the
// provider, for hints.
func (c *Client) Variable(what string) string { return variable(c.description.Provider, what) }

// kindOf classifies a failure by its HTTP status.
func kindOf(op providers.Op, status int, p ErrorBody) providers.Kind {
	within := p.statusWithin(status)
	switch {
	case success(within): // the body says that the call failed, but not why
		return unlessUpload(op, providers.KindTransient)
	case within == http.StatusUnauthorized, within == http.StatusForbidden:
		return providers.KindAuth
	case within == http.StatusPaymentRequired:
		return providers.KindQuota
	case within == http.StatusNotFound, within == http.StatusGone:
		// If the provider says nothing more, the base URL may be wrong.
		if p.HasDetail() && aboutFile(op) {
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
	case within == http.StatusGatewayTimeout, !p.HasDetail():
		// A proxy stopped waiting; the provider behind it may have done the work.
		return unlessUpload(op, providers.KindTransient)
	}
	return providers.KindTransient
}

// statusClientClosed is nginx's status for a client that closed the connection.
const statusClientClosed = 499

// aboutFile reports whether a call names a remote file.
func aboutFile(op providers.Op) bool {
	switch op {
	case providers.OpUpload, providers.OpList, providers.OpCheck:
		return false
	}
	return true
}

// retryAfter returns the wait that an answer asks for, or 0.
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

// Wait returns seconds as a duration between 0 and maxRetryAfter.
func Wait(seconds float64) time.Duration {
	if !(seconds > 0) { // NaN, too
		return 0
	}
	return time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
}
