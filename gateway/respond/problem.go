package respond

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/cas/tracing"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/view"
)

// StatusClientGone is the status that the log shows if the client hung up before it
// got an answer. It is never sent.
const StatusClientGone = 499

// Errors answers requests that failed.
type Errors struct{ URLs view.URLs }

// Handle is an echo.HTTPErrorHandler. It answers with a problem, and beside its members
// with the error object of OpenAI's API, since an SDK for that API may land anywhere, also
// where there is nothing. It does nothing if the answer has begun. If the client hung up
// it panics with http.ErrAbortHandler.
func (e Errors) Handle(err error, c echo.Context) {
	r := c.Response()
	if r.Committed {
		return
	}
	if IsClientGone(c, err) {
		// No answer can be delivered, and the connection is of no more use.
		r.Status = StatusClientGone
		panic(http.ErrAbortHandler)
	}
	p := VisibleProblem(c, problem.Of(routingError(c.Request().URL.Path, err), request.OperationID(c)))
	p.TraceID = tracing.ID(c.Request().Context())
	if p.Status >= 500 {
		request.StateOf(c).LogError = err
	}
	h := r.Header()
	clearHeader(h)
	h.Set(echo.HeaderCacheControl, "no-store")
	h.Set(echo.HeaderXContentTypeOptions, "nosniff")
	if p.RetryAfter > 0 {
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(p.RetryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set(echo.HeaderWWWAuthenticate, `Bearer realm="casgate"`)
	}
	object, err := visible(c, e.errorObject(err, p))
	if err != nil {
		panic(err) // a struct of strings and numbers can be marshalled
	}
	h.Set(echo.HeaderContentType, "application/problem+json")
	if hasOpenAIShape(c.Request().URL.Path) {
		h.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	}
	h.Set(api.HeaderShouldRetry, strconv.FormatBool(p.Retryable))
	h.Set(api.HeaderOwnError, "true") // and not the provider's, where one answers
	body, err := json.Marshal(struct {
		problem.Details
		Error any `json:"error"`
	}{p, object})
	if err != nil {
		panic(err) // a struct of strings and numbers can be marshalled
	}
	h.Set(echo.HeaderContentLength, strconv.Itoa(len(body)))
	if c.Request().Method == http.MethodHead {
		h.Set(api.HeaderProblemCode, string(p.Code))
	}
	r.WriteHeader(p.Status)
	if c.Request().Method != http.MethodHead {
		_, _ = r.Write(body) // a client that is gone has no use for an error
	}
}

// clearHeader removes what a handler prepared for its success, since it does not
// describe the problem.
func clearHeader(h http.Header) {
	for name := range h {
		switch name {
		case echo.HeaderXRequestID, echo.HeaderAllow, echo.HeaderWWWAuthenticate, "Content-Range":
		case echo.HeaderAccessControlAllowOrigin, echo.HeaderAccessControlExposeHeaders, echo.HeaderVary: // for pages of other origins
		default:
			delete(h, name)
		}
	}
}

// routingError gives an error of Echo's router its problem code.
func routingError(asked string, err error) error {
	if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch e.Code {
		case http.StatusNotFound:
			return problem.New(problem.NotFound, "There is nothing at this path. "+pathAdvice(asked))
		case http.StatusMethodNotAllowed:
			return problem.New(problem.MethodNotAllowed, "This path does not take this method; the Allow header lists those it takes.")
		}
	}
	return err
}

// pathAdvice says which path a client may have meant.
func pathAdvice(asked string) string {
	switch clean := path.Clean("/" + asked); {
	case !strings.HasPrefix(clean, "/v1") && !hasOpenAIShape(clean):
		return "The API lies under /v1."
	case clean != asked && clean != "/v1": // there is nothing at /v1 itself
		return fmt.Sprintf("Did you mean %.200q, without empty or relative parts?", clean)
	}
	return "GET /openapi.yaml describes all paths."
}

// IsClientGone reports whether the request failed because its client hung up. A body
// that broke off is answered nevertheless: net/http takes a client that has closed
// only its own side, and still listens, for one that is gone.
func IsClientGone(c echo.Context, err error) bool {
	return c.Request().Context().Err() != nil && errors.Is(err, context.Canceled) && !errors.Is(err, cas.ErrBodyRead)
}

// openAIPaths are the paths of APIs in the shape of OpenAI's.
var openAIPaths = []string{view.FilesPath, "/v1/chat", "/v1/models", "/kimi", "/glm"}

// hasOpenAIShape reports whether errors at a path have the media type of OpenAI's API.
func hasOpenAIShape(path string) bool {
	return slices.ContainsFunc(openAIPaths, func(of string) bool {
		rest, ok := strings.CutPrefix(path, of)
		return ok && (rest == "" || rest[0] == '/')
	})
}

// DuplicateFileError is a cas.ErrDuplicateFile with the existing file.
type DuplicateFileError struct{ File cas.File }

// Error implements error.
func (e *DuplicateFileError) Error() string {
	return cas.ErrDuplicateFile.Error() + ": " + e.File.ID + " has the same bytes, and allow_duplicates is false; nothing was created"
}

// Unwrap returns cas.ErrDuplicateFile.
func (e *DuplicateFileError) Unwrap() error { return cas.ErrDuplicateFile }

// errorObject gives a problem the shape of OpenAI's API. That API tells a missing file,
// and a conflict, from other wrong requests by the status alone.
func (e Errors) errorObject(err error, p problem.Details) api.ErrorBody {
	body := api.ErrorBody{
		Message: p.Detail, Type: errorType(p.Status), Code: p.Code,
		Provider: p.Provider, ProviderCode: p.ProviderCode, ProviderMessage: p.ProviderMessage,
	}
	if body.Message == "" {
		body.Message = p.Title
	}
	if p.Param != "" {
		body.Param = &p.Param
	}
	if duplicate, ok := errors.AsType[*DuplicateFileError](err); ok {
		file := view.File(duplicate.File, e.URLs)
		body.File = &file
	}
	return body
}

// errorType returns the type that OpenAI's API gives an error of this status.
func errorType(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return api.ErrorAuthentication
	case status == http.StatusForbidden:
		return api.ErrorPermission
	case status == http.StatusTooManyRequests:
		return api.ErrorRateLimit
	case status >= 500:
		return api.ErrorServer
	default:
		return api.ErrorInvalidRequest
	}
}
