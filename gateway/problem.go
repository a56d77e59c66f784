package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
)

// requestError is an error of the request itself. Its text goes to the client.
type requestError struct {
	code   api.Code
	detail string
}

func (e *requestError) Error() string { return e.detail }

func badRequest(detail string) error { return &requestError{api.CodeInvalidRequest, detail} }

// Errors of the gateway's own limits.
var (
	errOverloaded      = errors.New("as many uploads as allowed are under way; try again shortly")
	errTooManyRequests = errors.New("this token makes more requests a second than allowed")
	errSlowBody        = errors.New("the body came in more slowly than allowed")
)

// statusClientGone is what the log shows where the client hung up before it got
// an answer. It is never sent.
const statusClientGone = 499

// problemKind is a row of the table that maps errors to answers.
type problemKind struct {
	code       api.Code
	status     int
	title      string
	retryAfter int // seconds; 0: the same request will not succeed later
}

// kinds has every code there is, with its status.
var kinds = func() map[api.Code]problemKind {
	table := []problemKind{
		{api.CodeInvalidDigest, 400, "Invalid digest", 0},
		{api.CodeInvalidRequest, 400, "Invalid request", 0},
		{api.CodeUnauthenticated, 401, "Authentication needed", 0},
		{api.CodeForbidden, 403, "Not allowed", 0},
		{api.CodeBlobNotFound, 404, "No such blob", 0},
		{api.CodeNotFound, 404, "No such resource", 0},
		{api.CodeMethodNotAllowed, 405, "Method not allowed", 0},
		{api.CodeRequestTimeout, 408, "Request too slow", 1},
		{api.CodeBlobInUse, 409, "Blob in use", 0},
		{api.CodeLengthRequired, 411, "Length required", 0},
		{api.CodePreconditionFailed, 412, "Precondition failed", 0},
		{api.CodeBlobTooLarge, 413, "Blob too large", 0},
		{api.CodeUnsupportedMedia, 415, "Unsupported content coding", 0},
		{api.CodeRangeNotSatisfiable, 416, "Range not satisfiable", 0},
		{api.CodeDigestMismatch, 422, "Digest mismatch", 0},
		{api.CodeTooManyRequests, 429, "Too many requests", 1},
		{api.CodeInternal, 500, "Internal error", 0},
		{api.CodeObjectMissing, 502, "Object missing", 0},
		{api.CodeObjectCorrupt, 502, "Object corrupt", 0},
		{api.CodeIndexUnavailable, 503, "Index unavailable", 2},
		{api.CodeStoreUnavailable, 503, "Object store unavailable", 2},
		{api.CodeOverloaded, 503, "Overloaded", 1},
		{api.CodeNoSpace, 507, "No space left", 0},
	}
	m := make(map[api.Code]problemKind, len(table))
	for _, k := range table {
		m[k.code] = k
	}
	return m
}()

// errorCodes maps errors to codes: the first that matches decides. Where detail
// is true the error's text is written for clients; otherwise it goes to the log
// alone, since it may name hosts and files.
var errorCodes = []struct {
	err    error
	code   api.Code
	detail bool
}{
	{cas.ErrInvalidDigest, api.CodeInvalidDigest, true},
	{cas.ErrBlobNotFound, api.CodeBlobNotFound, true},
	{cas.ErrBlobTooLarge, api.CodeBlobTooLarge, true},
	{cas.ErrBlobInUse, api.CodeBlobInUse, true},
	{cas.ErrObjectMissing, api.CodeObjectMissing, false},
	{cas.ErrObjectCorrupt, api.CodeObjectCorrupt, false}, // before ErrDigestMismatch, which it wraps
	{cas.ErrDigestMismatch, api.CodeDigestMismatch, true},
	{cas.ErrRangeNotSatisfiable, api.CodeRangeNotSatisfiable, true},
	{cas.ErrUploadRaced, api.CodeOverloaded, true},
	{errSlowBody, api.CodeRequestTimeout, true},
	{cas.ErrBodyRead, api.CodeInvalidRequest, false}, // after errSlowBody, which it comes with
	{cas.ErrNoSpace, api.CodeNoSpace, false},
	{cas.ErrIndexUnavailable, api.CodeIndexUnavailable, false},
	{cas.ErrStoreUnavailable, api.CodeStoreUnavailable, false},
	{access.ErrBadSignature, api.CodeForbidden, true},
	{errOverloaded, api.CodeOverloaded, true},
	{errTooManyRequests, api.CodeTooManyRequests, true},
}

// advice is the detail of the kinds whose own errors don't go to clients.
var advice = map[api.Code]string{
	api.CodeInvalidRequest:   "The body broke off before its declared end, or its chunks are malformed. Nothing was stored; send it again.",
	api.CodeObjectMissing:    "The blob is known, but its bytes are missing in the object store. Uploading it again mends it.",
	api.CodeObjectCorrupt:    "The stored bytes are not those of the digest. Uploading the blob again mends it.",
	api.CodeNoSpace:          "The gateway's disk or bucket is full. Nothing was stored.",
	api.CodeIndexUnavailable: "The index can't be reached. Nothing is lost; try again shortly.",
	api.CodeStoreUnavailable: "The object store can't be reached. Nothing is lost; try again shortly.",
	api.CodeInternal:         "Something went wrong in the gateway. Its log has the details under the operation id.",
}

// problemOf maps any error to the answer for clients.
func problemOf(err error, operationID string) api.Problem {
	code, detail := classify(err)
	kind := kinds[code]
	return api.Problem{
		Type:        "urn:casgate:problem:" + string(code),
		Title:       kind.title,
		Status:      kind.status,
		Detail:      detail,
		Code:        code,
		OperationID: operationID,
		Retryable:   kind.retryAfter > 0,
		RetryAfter:  kind.retryAfter,
	}
}

func classify(err error) (api.Code, string) {
	if e, ok := errors.AsType[*requestError](err); ok {
		return e.code, e.detail
	}
	for _, row := range errorCodes {
		if errors.Is(err, row.err) {
			if row.detail {
				return row.code, err.Error()
			}
			return row.code, advice[row.code]
		}
	}
	if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch e.Code {
		case http.StatusNotFound:
			return api.CodeNotFound, "There is nothing at this path. The API lies under /v1."
		case http.StatusMethodNotAllowed:
			return api.CodeMethodNotAllowed, "This path does not take this method; the Allow header lists those it takes."
		}
	}
	return api.CodeInternal, advice[api.CodeInternal]
}

// handleError is Echo's HTTPErrorHandler: it answers with a problem, unless the
// answer has begun or nobody waits for it any more.
func (g *Gateway) handleError(err error, c echo.Context) {
	r := c.Response()
	if r.Committed {
		return
	}
	if isClientGone(c, err) {
		// No answer can be delivered, and the connection is of no more use.
		r.Status = statusClientGone
		panic(http.ErrAbortHandler)
	}
	p := problemOf(err, operationID(c))
	if p.Status >= 500 {
		exchangeOf(c).err = err
	}
	h := r.Header()
	for name := range h {
		// What a handler prepared for its success does not describe this answer.
		switch name {
		case echo.HeaderXRequestID, echo.HeaderAllow, echo.HeaderWWWAuthenticate, "Content-Range":
		default:
			delete(h, name)
		}
	}
	h.Set(echo.HeaderContentType, "application/problem+json")
	h.Set(echo.HeaderCacheControl, "no-store")
	h.Set(echo.HeaderXContentTypeOptions, "nosniff")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set(echo.HeaderWWWAuthenticate, `Bearer realm="casgate"`)
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // a struct of strings and numbers can be marshalled
	}
	h.Set(echo.HeaderContentLength, strconv.Itoa(len(body)))
	r.WriteHeader(p.Status)
	if c.Request().Method != http.MethodHead {
		_, _ = r.Write(body) // a client that is gone has no use for an error
	}
}

// isClientGone reports whether the request failed because its client hung up. A
// body that broke off is answered nevertheless: net/http takes a client that has
// only closed its own side, and still listens, for one that is gone.
func isClientGone(c echo.Context, err error) bool {
	return c.Request().Context().Err() != nil && errors.Is(err, context.Canceled) && !errors.Is(err, cas.ErrBodyRead)
}
