package request

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/problem"
)

// maxJSON bounds a JSON body; a full find-missing has about 80 KB.
const maxJSON = 256 << 10

// IsJSON reports whether the body of a request is declared to be JSON.
func IsJSON(r *http.Request) bool {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	return err == nil && mediaType == echo.MIMEApplicationJSON
}

// JSON reads a body of one JSON object and nothing else.
func JSON(c echo.Context, v any) error {
	body := http.MaxBytesReader(c.Response(), c.Request().Body, maxJSON)
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(v)
	if err == nil && decoder.More() {
		return problem.BadRequest("the body has more than one JSON value")
	}
	if err == nil {
		return clearDeadline(c)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrSlowBody
	}
	if errors.Is(err, cas.ErrInvalidDigest) {
		return err
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem.BadRequest(fmt.Sprintf("the body is larger than %d bytes", maxJSON))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return problem.BadRequest("the body is empty or ends within a JSON object")
	}
	return problem.BadRequest(fmt.Sprintf("the body is not the JSON expected: %v", err))
}

// OptionalJSON is JSON for a body that may be missing.
func OptionalJSON(c echo.Context, v any) error {
	req := c.Request()
	if req.ContentLength == 0 {
		return nil
	}
	body := bufio.NewReader(req.Body)
	if _, err := body.Peek(1); err == io.EOF {
		return clearDeadline(c)
	}
	req.Body = struct {
		io.Reader
		io.Closer
	}{body, req.Body}
	return JSON(c, v)
}

// clearDeadline takes the deadline off a body that is here whole. It must not strike
// while the answer is made.
func clearDeadline(c echo.Context) error {
	return http.NewResponseController(c.Response()).SetReadDeadline(time.Time{})
}
