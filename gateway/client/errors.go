package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

// Errors without an answer that has a code. An answer's error matches its code, such
// as problem.Forbidden, and the error of package cas with the same meaning.
var (
	// ErrUnreachable: no connection came about, or it broke.
	ErrUnreachable = errors.New("the gateway can't be reached")
	// ErrProvider: a provider refused or failed, or can't be asked. The Error's Problem
	// has the provider's name, its own code and its own words.
	ErrProvider = errors.New("the provider did not do it")
	// ErrNotReady: the gateway runs, and its index or store doesn't answer.
	ErrNotReady = errors.New("the gateway is not ready")
	// ErrWrongPath: a gateway answers, and has nothing at the path of the client's URL.
	ErrWrongPath = errors.New("the gateway has nothing at the path of this URL")
	// ErrWrongScheme: the client's URL has http:// where HTTPS is spoken, or https:// where plain
	// HTTP is.
	ErrWrongScheme = errors.New("the scheme of this URL is wrong")
)

// Error is an answer of the gateway that reports an error.
type Error struct {
	// Problem is the answer. Its Code is empty if the answer was not from a gateway, but
	// for example from a proxy.
	Problem problem.Details
	// File is the existing file if the error is cas.ErrDuplicateFile. It has only its id if
	// the token lacks the scope read.
	File *api.File
	// Anonymous: the request had no token.
	Anonymous bool
	// TokenSource is that of the Options, if the request had the client's token.
	TokenSource string

	retryAfter  time.Duration
	wrongScheme bool
}

// Error returns the detail, the code, and the operation id in the gateway's journal.
func (e *Error) Error() string {
	text := e.Problem.Detail
	if text == "" {
		text = e.Problem.Title
	}
	switch p := e.Problem; {
	case p.Code == "":
		return text
	case p.OperationID == "":
		return fmt.Sprintf("%s (%s)", text, p.Code)
	default:
		return fmt.Sprintf("%s (%s, operation %s)", text, p.Code, p.OperationID)
	}
}

// Is makes an Error match its code, and the error of package cas that the code
// stands for. Every code of a provider's failure matches ErrProvider.
func (e *Error) Is(target error) bool {
	switch p := e.Problem; {
	case target == ErrWrongScheme:
		return e.wrongScheme
	case p.Code == "":
		// A proxy may ask for authentication of its own.
		return p.Status == http.StatusUnauthorized && target == problem.Unauthenticated ||
			p.Status == http.StatusForbidden && target == problem.Forbidden
	case target == ErrProvider:
		return p.Code.IsProvider()
	default:
		return p.Code.Matches(target)
	}
}

// maxProblem bounds how many bytes of an error answer are read.
const maxProblem = 64 << 10

// answerError returns the Error for an answer that isn't a success.
func answerError(r *request, base string, res *http.Response) *Error {
	e := &Error{retryAfter: parseRetryAfter(res.Header.Get("Retry-After"))}
	p := &e.Problem
	switch {
	case r.method == http.MethodHead:
		// Gateways of earlier versions, and proxies, send no code.
		p.Code = cmp.Or(problem.Code(res.Header.Get(api.HeaderProblemCode)), problem.OfBodyless(res.StatusCode))
		p.Title = "the gateway answered " + statusText(res.StatusCode)
		if p.Code == problem.BlobNotFound {
			p.Title = cas.ErrBlobNotFound.Error()
		}
	case !e.read(res) && isProxyFailure(res.StatusCode):
		*p = problem.Details{Detail: fmt.Sprintf(
			"a proxy before %s answered %s with %s: the gateway was not reached, or took longer than the proxy waits",
			base, statusText(res.StatusCode), contentTypeText(res.Header))}
	case p.Code == "" && res.StatusCode == http.StatusBadRequest && strings.HasPrefix(base, "http:") && speaksTLS(res):
		e.wrongScheme = true
		*p = problem.Details{Detail: base + " speaks HTTPS; write https:// in its URL"}
	case p.Code == "" && res.StatusCode == http.StatusRequestHeaderFieldsTooLarge: // net/http answers it before the gateway
		*p = problem.InvalidRequest.Details("the URL or the header of the request is too long", "")
	case p.Code == "":
		*p = problem.Details{Detail: fmt.Sprintf(
			"%s answered %s with %s, which is not how a gateway answers; is the URL right, and what lies between?",
			base, statusText(res.StatusCode), contentTypeText(res.Header))}
	}
	p.Status = res.StatusCode
	if p.Code == "" {
		p.Retryable = isTransient(res.StatusCode)
	}
	if p.OperationID == "" {
		p.OperationID = res.Header.Get("X-Request-Id")
	}
	return e
}

// wrongPath returns the error for a client's URL with a path at which a gateway has nothing, or
// nil. A gateway's 404 alone does not tell: it may lie below the path, behind a proxy, and lack
// the thing that was asked for. So its health is asked for, too.
func (c *Client) wrongPath(ctx context.Context, answered *Error) error {
	u, err := url.Parse(c.base)
	if err != nil || u.Path == "" || answered.Problem.Code != problem.NotFound {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	health := &request{method: http.MethodGet, path: "/healthz", anonymous: true}
	req, err := c.newRequest(ctx, health)
	if err != nil {
		return nil
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil
	}
	defer closeDrained(res.Body)
	if res.StatusCode != http.StatusNotFound || answerError(health, c.base, res).Problem.Code != problem.NotFound {
		return nil
	}
	return fmt.Errorf("%w: %s; its own URL is perhaps %s", ErrWrongPath, c.base, origin(u))
}

// speaksTLS reports whether a refusal is that of a server that was asked without TLS. net/http
// and nginx say so in a text of their own, and name HTTPS in it.
func speaksTLS(res *http.Response) bool {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	return err == nil && bytes.Contains(body, []byte("HTTPS"))
}

// read decodes an answer, and reports whether it has the form that a gateway uses.
func (e *Error) read(res *http.Response) bool {
	mediaType, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/problem+json" && mediaType != "application/json" {
		return false
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	if err != nil {
		return false
	}
	var answer api.ErrorAnswer
	if json.Unmarshal(body, &answer) != nil {
		return false
	}
	e.Problem, e.File = answer.Details, answer.Error.File
	if e.Problem.Code == "" {
		e.takeErrorBody(answer.Error, res.Header)
	}
	if answer.Error.Param != nil {
		e.Problem.Param = *answer.Error.Param
	}
	return e.Problem.Code != ""
}

// takeErrorBody converts an error of OpenAI's API to a problem. Gateways of earlier
// versions answer requests about files with nothing else.
func (e *Error) takeErrorBody(body api.ErrorBody, h http.Header) {
	e.Problem = problem.Details{
		Title: body.Type, Detail: body.Message, Code: body.Code,
		Retryable: h.Get(api.HeaderShouldRetry) == "true", RetryAfter: int(e.retryAfter / time.Second),
		Provider: body.Provider, ProviderCode: body.ProviderCode, ProviderMessage: body.ProviderMessage,
	}
}

// isProxyFailure reports whether a status is one that proxies answer themselves.
func isProxyFailure(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusGatewayTimeout
}

// isTransient reports whether a status means that the request may succeed later.
func isTransient(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// parseRetryAfter reads seconds or a date; 0 if there is neither.
func parseRetryAfter(text string) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 && seconds < 1<<30 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

func statusText(status int) string {
	return fmt.Sprintf("%d %s", status, http.StatusText(status))
}

func contentTypeText(h http.Header) string {
	if text := h.Get("Content-Type"); text != "" {
		return text
	}
	return "no Content-Type"
}

// plainError is the error of a URL with https:// where plain HTTP is spoken.
type plainError struct{ base string }

func (e *plainError) Error() string { return e.base + " speaks plain HTTP; write http:// in its URL" }

// Is makes it match ErrWrongScheme.
func (e *plainError) Is(target error) bool { return target == ErrWrongScheme }

// connectionError explains why a request got no answer. It leaves out the
// request's URL, whose query may be a signature.
func connectionError(base string, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*redirectError](err); ok {
		return e
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return &plainError{base}
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return fmt.Errorf("%w: %s: %w; is `cas serve` running there?", ErrUnreachable, base, err)
	}
	return fmt.Errorf("%w: the connection to %s failed: %w", ErrUnreachable, base, err)
}
