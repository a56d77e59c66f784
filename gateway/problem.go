package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

func badRequest(detail string) error { return problem.New(problem.InvalidRequest, detail) }

// Errors of the gateway's own limits.
var (
	errOverloaded      = problem.New(problem.Overloaded, "as many uploads as allowed are under way; try again shortly")
	errTooManyRequests = problem.New(problem.TooManyRequests, "this token makes more requests a second than allowed")
	errSlowBody        = problem.New(problem.RequestTimeout, "the body came in more slowly than allowed")
)

// statusClientGone is what the log shows where the client hung up before it got
// an answer. It is never sent.
const statusClientGone = 499

// routingError gives an error of Echo's router its problem code.
func routingError(err error) error {
	if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch e.Code {
		case http.StatusNotFound:
			return problem.New(problem.NotFound, "There is nothing at this path. The API lies under /v1.")
		case http.StatusMethodNotAllowed:
			return problem.New(problem.MethodNotAllowed, "This path does not take this method; the Allow header lists those it takes.")
		}
	}
	return err
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
	p := problem.Of(routingError(err), operationID(c))
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
