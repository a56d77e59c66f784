// Package respond writes answers: JSON, problems, and blobs with the fields that
// describe them.
package respond

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"casgate/gateway/view"
)

// JSON answers with JSON that no cache may keep: with the part of v that the token of the
// request may see.
func JSON(c echo.Context, status int, v any) error {
	body, err := Marshal(c, v)
	if err != nil {
		return err
	}
	return sendJSON(c, status, body)
}

// OwnJSON is JSON for an answer that has only what the request itself brought, so that
// every token may see all of it.
func OwnJSON(c echo.Context, status int, v any) error {
	body, err := marshal(v)
	if err != nil {
		return err
	}
	return sendJSON(c, status, body)
}

func sendJSON(c echo.Context, status int, body []byte) error {
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	c.Response().Header().Set(echo.HeaderContentLength, strconv.Itoa(len(body))) // or a long one would go out in chunks
	return c.Blob(status, echo.MIMEApplicationJSON, body)
}

// The values that these fields have in each answer of JSON that is written piece by
// piece.
var (
	jsonType = []string{echo.MIMEApplicationJSON}
	noStore  = []string{"no-store"}
)

// BeginJSON begins a 200 answer of JSON that no cache may keep. The caller writes the
// body.
func BeginJSON(c echo.Context) {
	h := c.Response().Header()
	h[echo.HeaderContentType], h[echo.HeaderCacheControl] = jsonType, noStore
	c.Response().WriteHeader(http.StatusOK)
}

// SetApplied says which of the request's preferences (RFC 7240) the answer obeys, if any.
func SetApplied(c echo.Context, preferences string) {
	if preferences != "" {
		c.Response().Header().Set("Preference-Applied", preferences)
	}
}

// PollAfter is the number of seconds after which to ask again for work that was only
// begun.
const PollAfter = "1"

// Accepted answers 202, with the URL of the operation that goes on.
func Accepted(c echo.Context, urls view.URLs, operation string, v any) error {
	h := c.Response().Header()
	h.Set(echo.HeaderLocation, urls.Operation(operation))
	h.Set(echo.HeaderRetryAfter, PollAfter)
	return JSON(c, http.StatusAccepted, v)
}
