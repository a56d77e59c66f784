package chatapi

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/chatbody"
	"casgate/gateway/problem"
)

// checkBody refuses a body by its header, before it is read.
func (h *Handlers) checkBody(c echo.Context) error {
	r := c.Request()
	switch coding := r.Header.Get(echo.HeaderContentEncoding); {
	case coding != "" && !strings.EqualFold(coding, "identity"):
		return problem.New(problem.UnsupportedMedia, "Content-Encoding is not supported: send plain JSON.")
	case r.ContentLength < 0:
		return problem.New(problem.LengthRequired, "Send Content-Length: a chunked body could be of any size.")
	case r.ContentLength > h.o.MaxBody:
		return problem.New(problem.RequestTooLarge, fmt.Sprintf("the request has %d bytes, and at most %d are taken; upload the file, and name it by its id", r.ContentLength, h.o.MaxBody))
	}
	return nil
}

// readBody reads a body whose length is known.
func (h *Handlers) readBody(c echo.Context) ([]byte, error) {
	raw := make([]byte, c.Request().ContentLength)
	body := h.BodyRate.Body(c)
	n, err := io.ReadFull(body, raw)
	if err == nil {
		var more [1]byte // the end of the body takes its deadline off the connection
		if _, err = body.Read(more[:]); errors.Is(err, io.EOF) {
			return raw, nil
		}
		if err == nil {
			err = errors.New("it is longer than its Content-Length")
		}
	}
	if !errors.Is(err, cas.ErrBodyRead) {
		err = fmt.Errorf("%w after %d bytes: %w", cas.ErrBodyRead, n, err)
	}
	return nil, err
}

// scan reads the JSON of a body.
func scan(raw []byte) (*chatbody.Body, error) {
	body, err := chatbody.Scan(raw, &chatbody.ChatCompletions)
	if e, ok := errors.AsType[*chatbody.Error](err); ok {
		err = problem.BadRequest(e.Reason)
		if e.Param != "" {
			err = problem.WithParam(e.Param, err)
		}
	}
	return body, err
}
