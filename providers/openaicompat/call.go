package openaicompat

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"

	"casgate/providers"
)

const (
	// maxAnswer and maxListing limit the JSON of an answer, in bytes. A page of a list
	// may have ten thousand files.
	maxAnswer  = 1 << 20
	maxListing = 8 << 20
)

var errTooLong = errors.New("the answer is too long")

// safeCall is a request that is safe to repeat.
type safeCall struct {
	op     providers.Op
	method string
	path   string // below the API's base
	query  url.Values
	limit  int64 // of the answer, in bytes
}

// call makes a request that is safe to repeat, and returns its whole answer.
func (c *Client) call(ctx context.Context, r safeCall) (status int, body []byte, err error) {
	call, cancel := context.WithTimeoutCause(ctx, answerTimeout, errNoAnswer)
	defer cancel()
	request, err := c.request(call, r.method, r.path, r.query)
	if err != nil {
		return 0, nil, c.Refuse(r.op, "", err.Error(), err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil, c.broken(ctx, call, r.op, true, err)
	}
	body, err = c.read(ctx, call, r.op, response, r.limit)
	return response.StatusCode, body, err
}

// read reads an answer to its end. It returns an error if the answer reports one.
func (c *Client) read(caller, call context.Context, op providers.Op, response *http.Response, limit int64) ([]byte, error) {
	body, err := readAll(response, limit)
	if refused := c.refusal(op, response.StatusCode, response.Header, body); refused != nil {
		// The part that arrived says that the call failed, even if the rest is missing.
		return nil, refused
	}
	if errors.Is(err, errTooLong) {
		return nil, c.BadAnswer(op, response.StatusCode, err.Error())
	}
	if err != nil {
		return nil, c.broken(caller, call, op, true, err)
	}
	return body, nil
}

// readAll reads an answer's body to its end, as UTF-8, and closes it.
func readAll(response *http.Response, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		body, err = nil, errTooLong
	}
	body = decoded(response.Header.Get("Content-Type"), body)
	return body, errors.Join(err, response.Body.Close())
}
