package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/providers"
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
		{api.CodeFileNotFound, 404, "No such file", 0},
		{api.CodeNotFound, 404, "No such resource", 0},
		{api.CodeCopyNotFound, 404, "No such copy", 0},
		{api.CodeProviderNotFound, 404, "No such provider", 0},
		{api.CodeOperationNotFound, 404, "No such operation", 0},
		{api.CodeMethodNotAllowed, 405, "Method not allowed", 0},
		{api.CodeRequestTimeout, 408, "Request too slow", 1},
		{api.CodeBlobInUse, 409, "Blob in use", 0},
		{api.CodeDuplicateFile, 409, "Duplicate file", 0},
		{api.CodeCopyInProgress, 409, "Copy in progress", 1},
		{api.CodeLengthRequired, 411, "Length required", 0},
		{api.CodePreconditionFailed, 412, "Precondition failed", 0},
		{api.CodeBlobTooLarge, 413, "Blob too large", 0},
		{api.CodeUnsupportedMedia, 415, "Unsupported content coding", 0},
		{api.CodeRangeNotSatisfiable, 416, "Range not satisfiable", 0},
		{api.CodeDigestMismatch, 422, "Digest mismatch", 0},
		{api.CodeProviderRejected, 422, "Not for this provider", 0},
		{api.CodeTooManyRequests, 429, "Too many requests", 1},
		{api.CodeProviderRateLimited, 429, "Rate limited by the provider", 1},
		{api.CodeInternal, 500, "Internal error", 0},
		{api.CodeObjectMissing, 502, "Object missing", 0},
		{api.CodeObjectCorrupt, 502, "Object corrupt", 0},
		{api.CodeProviderFailed, 502, "Provider failed", 2},
		{api.CodeIndexUnavailable, 503, "Index unavailable", 2},
		{api.CodeStoreUnavailable, 503, "Object store unavailable", 2},
		{api.CodeOriginUnavailable, 503, "Imported file out of reach", 2},
		{api.CodeOverloaded, 503, "Overloaded", 1},
		{api.CodeProviderUnavailable, 503, "Provider unavailable", 2},
		{api.CodeProviderTimeout, 504, "Provider timed out", 2},
		{api.CodeNoSpace, 507, "No space left", 0},
		{api.CodeProviderQuota, 507, "Provider's account full", 60},
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
	{cas.ErrFileNotFound, api.CodeFileNotFound, true},
	{cas.ErrDuplicateFile, api.CodeDuplicateFile, true},
	{cas.ErrOriginUnavailable, api.CodeOriginUnavailable, false},
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
	{providers.ErrProviderNotFound, api.CodeProviderNotFound, true},
	{providers.ErrCopyNotFound, api.CodeCopyNotFound, true},
	{providers.ErrCopyInProgress, api.CodeCopyInProgress, true},
	{providers.ErrNoReference, api.CodeProviderRejected, true},
	{providers.ErrNoDownload, api.CodeProviderRejected, true},
}

// providerCodes maps the errors of providers, after those above: bytes of our own
// that could not be read are not the provider's fault, though it is the upload
// there that fails. The first row whose given fields agree decides; the texts of
// these errors are redacted, and written for clients.
var providerCodes = []struct {
	kind    providers.Kind
	own     string // the Error's Code, where it is one of ours
	limited bool   // the provider limits the rate, or what is kept
	code    api.Code
	final   bool // the same request will not succeed later, whatever the code
}{
	// Of bytes of our own the ledger remembers no more than this.
	{own: providers.CodeObjectCorrupt, code: api.CodeObjectCorrupt},
	{own: providers.CodeObjectMissing, code: api.CodeObjectMissing},
	{own: providers.CodeBlobNotFound, code: api.CodeBlobNotFound},
	{own: providers.CodeStoreUnavailable, code: api.CodeStoreUnavailable},
	{kind: providers.KindPermanent, code: api.CodeProviderRejected},
	{kind: providers.KindQuota, limited: true, code: api.CodeProviderQuota},
	{kind: providers.KindQuota, code: api.CodeProviderQuota, final: true}, // somebody has to pay first
	{kind: providers.KindAuth, own: providers.CodeNotConfigured, code: api.CodeProviderUnavailable, final: true},
	{kind: providers.KindAuth, code: api.CodeProviderFailed, final: true}, // nor does a refused key get better
	{kind: providers.KindTransient, own: providers.CodeUnavailable, code: api.CodeProviderUnavailable},
	{own: providers.CodeTimeout, code: api.CodeProviderTimeout},
	{kind: providers.KindTransient, limited: true, code: api.CodeProviderRateLimited},
}

// advice is the detail of the kinds whose own errors don't go to clients.
var advice = map[api.Code]string{
	api.CodeInvalidRequest:    "The body broke off before its declared end, or its chunks are malformed. Nothing was stored; send it again.",
	api.CodeObjectMissing:     "The blob is known, but its bytes are missing in the object store. Uploading it again mends it.",
	api.CodeObjectCorrupt:     "The stored bytes are not those of the digest. Uploading the blob again mends it.",
	api.CodeNoSpace:           "The gateway's disk or bucket is full. Nothing was stored.",
	api.CodeIndexUnavailable:  "The index can't be reached. Nothing is lost; try again shortly.",
	api.CodeStoreUnavailable:  "The object store can't be reached. Nothing is lost; try again shortly.",
	api.CodeOriginUnavailable: "The bytes of this imported file can't be read where they lie. Nothing is lost; try again shortly.",
	api.CodeInternal:          "Something went wrong in the gateway. Its log has the details under the operation id.",
}

// problemOf maps any error to the answer for clients.
func problemOf(err error, operationID string) api.Problem {
	code, detail := classify(err)
	if code != "" {
		return newProblem(code, detail, operationID)
	}
	if e, ok := errors.AsType[*providers.Error](err); ok {
		return providerProblem(e, operationID)
	}
	if errors.Is(err, context.Canceled) { // and not by the client, who would not be answered
		return newProblem(api.CodeOverloaded, "The gateway is stopping. Nothing is lost; try again shortly.", operationID)
	}
	return newProblem(api.CodeInternal, advice[api.CodeInternal], operationID)
}

func newProblem(code api.Code, detail, operationID string) api.Problem {
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

// providerProblem maps what failed at a provider.
func providerProblem(e *providers.Error, operationID string) api.Problem {
	limited := e.TooMany || e.Kind == providers.KindTransient && e.Status == http.StatusTooManyRequests
	code, final := api.CodeProviderFailed, false // what else is transient or unknown, and lost files
	for _, row := range providerCodes {
		if (row.kind == "" || row.kind == e.Kind) && (row.own == "" || row.own == e.Code) && (!row.limited || limited) {
			code, final = row.code, row.final
			break
		}
	}
	p := newProblem(code, e.Error(), operationID)
	p.Provider, p.ProviderCode, p.ProviderMessage = e.Provider, e.Code, e.Message
	switch {
	case final:
		p.Retryable, p.RetryAfter = false, 0
	case p.Retryable && e.RetryAfter > 0:
		p.RetryAfter = seconds(e.RetryAfter)
	}
	return p
}

// seconds rounds up: who comes back when told must not be too early.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// classify returns an error's code, and what clients are told; no code where the
// error is none of the gateway's own.
func classify(err error) (api.Code, string) {
	if e, ok := errors.AsType[*requestError](err); ok {
		return e.code, e.detail
	}
	if e, ok := errors.AsType[*cas.InvalidField](err); ok {
		return api.CodeInvalidRequest, fieldName(e) + " " + e.Problem
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
	return "", ""
}

// handleError is Echo's HTTPErrorHandler: it answers with a problem, for files in
// the shape of their API, unless the answer has begun or nobody waits for it any
// more.
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
	h.Set(echo.HeaderCacheControl, "no-store")
	h.Set(echo.HeaderXContentTypeOptions, "nosniff")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set(echo.HeaderWWWAuthenticate, `Bearer realm="casgate"`)
	}
	var shown any = p
	h.Set(echo.HeaderContentType, "application/problem+json")
	if isFilesPath(c.Request().URL.Path) {
		shown = g.fileError(err, p)
		h.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
		h.Set(api.HeaderShouldRetry, strconv.FormatBool(p.Retryable))
	}
	body, err := json.Marshal(shown)
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
