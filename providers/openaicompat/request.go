package openaicompat

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"casgate/providers"
)

// Request is a request of an adapter whose API has other paths than OpenAI's.
type Request struct {
	Op     providers.Op
	Method string
	// URL is an absolute URL on the host of the base URL; Base returns that. The caller has
	// escaped its path.
	URL    string
	Query  url.Values
	Header http.Header
	Body   []byte
	// Limit is the maximum length of the answer, in bytes; 0 means 1 MiB.
	Limit int64
	// Uncredentialed leaves the credential out: the URL itself permits the request.
	Uncredentialed bool
}

// Answer is a provider's answer to a Request that succeeded.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Base returns the base URL, without a slash at its end.
func (c *Client) Base() string { return c.base }

// MaxListing is the maximum length of a page of a list, in bytes.
const MaxListing = maxListing

// Call makes a request, and returns its whole answer. An answer that reports a failure
// is an error.
func (c *Client) Call(ctx context.Context, r Request) (Answer, error) {
	call, cancel := context.WithTimeoutCause(ctx, answerTimeout, errNoAnswer)
	defer cancel()
	request, err := c.requestOf(call, r)
	if err != nil {
		return Answer{}, c.Refuse(r.Op, "", err.Error(), err)
	}
	if r.Body != nil {
		request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(r.Body)), int64(len(r.Body))
	}
	response, err := c.http.Do(request)
	if err != nil {
		return Answer{}, c.broken(ctx, call, r.Op, true, err)
	}
	body, err := c.read(ctx, call, r.Op, response, cmp.Or(r.Limit, maxAnswer))
	if err != nil {
		return Answer{}, err
	}
	return Answer{response.StatusCode, response.Header, body}, nil
}

// Send makes a request whose body is an upload's content, and nothing else. The content
// must not be empty.
func (c *Client) Send(ctx context.Context, r Request, u providers.Upload) (Answer, error) {
	plain := func(u providers.Upload, content io.ReadCloser) (*form, error) { return newPlain(u, content), nil }
	return c.send(ctx, u, plain, func(ctx context.Context) (*http.Request, error) { return c.requestOf(ctx, r) })
}

// requestOf makes a request to the host of the base URL.
func (c *Client) requestOf(ctx context.Context, r Request) (*http.Request, error) {
	target := r.URL
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, target, nil)
	if err != nil {
		return nil, fmt.Errorf("making a request to %s: %w", c.description.Host, err)
	}
	if base, err := url.Parse(c.base); err != nil || request.URL.Scheme != base.Scheme || request.URL.Host != base.Host {
		return nil, fmt.Errorf("a request to %s, and not to %s", request.URL.Host, c.description.Host)
	}
	request.Header.Set("User-Agent", userAgent)
	request.Header.Set("Accept", "application/json")
	for name, values := range r.Header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	if !r.Uncredentialed {
		c.dialect.Authorize(request)
	}
	return request, nil
}

// CheckID returns an error of KindLost for a text that can't be the id of a file.
func (c *Client) CheckID(op providers.Op, id string) error { return c.checkID(op, id) }

// Text returns a provider's text without secrets, shortened.
func (c *Client) Text(text string) string { return c.redactor.text(text, maxMessage) }
