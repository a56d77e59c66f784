package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"time"

	"casgate/gateway/problem"
)

// request is what to ask of the gateway, as often as it takes.
type request struct {
	method string
	path   string // below the base URL
	query  url.Values
	header http.Header
	// open opens the body anew for each attempt; nil means none. Length is its
	// length, -1 where that isn't known.
	open   func() (io.ReadCloser, error)
	length int64
	// mayRetry is asked after an attempt that failed for a passing reason; nil means
	// never.
	mayRetry func() bool
	// anonymous leaves out the token.
	anonymous bool
	// patient lets the answer take its time, as after an upload.
	patient bool
	// accept is a status that is no error, besides those of success.
	accept int
}

func setText(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func always() bool { return true }

// A request is tried again after firstWait, and then twice as long each time,
// up to longestWait. Where the gateway asks for more than longestRetryAfter, the
// error is the caller's to handle.
const (
	firstWait         = 100 * time.Millisecond
	longestWait       = 5 * time.Second
	longestRetryAfter = 30 * time.Second
)

// do sends a request and returns the answer, which is a success, with its body
// open.
func (c *Client) do(ctx context.Context, r *request) (*http.Response, error) {
	for attempt := 0; ; attempt++ {
		res, err := c.try(ctx, r)
		if err == nil {
			return res, nil
		}
		wait, again := retryWait(err, attempt)
		if !again || attempt >= c.retries || ctx.Err() != nil || r.mayRetry == nil || !r.mayRetry() {
			return nil, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, c.interrupted(ctx, r)
		}
	}
}

// interrupted is the error of a request whose context is done.
func (c *Client) interrupted(ctx context.Context, r *request) error {
	return fmt.Errorf("%s %s: %w", r.method, c.base+r.path, context.Cause(ctx))
}

// retryWait reports whether an error may pass, and how long to wait for that.
func retryWait(err error, attempt int) (time.Duration, bool) {
	wait := min(longestWait, firstWait<<min(attempt, 10))
	wait = wait/2 + rand.N(wait)/2
	if errors.Is(err, ErrUnreachable) {
		return wait, true
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || !e.Problem.Retryable {
		return 0, false
	}
	switch e.Problem.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
	default:
		if e.Problem.Code != problem.CopyInProgress {
			return 0, false
		}
	}
	// Not before the time named, and not all clients at once.
	return e.retryAfter + wait, e.retryAfter <= longestRetryAfter
}

// errNoAnswer ends a request that waited too long.
var errNoAnswer = fmt.Errorf("no answer within %v", answerTimeout)

// try sends a request once.
func (c *Client) try(ctx context.Context, r *request) (*http.Response, error) {
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	if !r.patient {
		timer := time.AfterFunc(answerTimeout, func() { cancel(errNoAnswer) })
		defer timer.Stop()
	}
	req, err := c.newRequest(ctx, r)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		defer cancel(nil)
		if parent.Err() != nil {
			return nil, c.interrupted(parent, r)
		}
		if e, ok := errors.AsType[*sourceError](err); ok {
			return nil, e.error
		}
		return nil, connectionError(c.base, err)
	}
	if res.StatusCode/100 != 2 && res.StatusCode != r.accept {
		defer cancel(nil)
		defer closeDrained(res.Body)
		return nil, answerError(r, c.base, res)
	}
	res.Body = &answerBody{res.Body, cancel}
	return res, nil
}

// answerBody frees the request's context when it is closed.
type answerBody struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *answerBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

func (c *Client) newRequest(ctx context.Context, r *request) (*http.Request, error) {
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var body io.ReadCloser
	if r.open != nil {
		var err error
		if body, err = r.open(); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, nil)
	if err != nil {
		if body != nil {
			body.Close()
		}
		return nil, fmt.Errorf("%s %s: malformed URL", r.method, c.base+r.path)
	}
	if body != nil {
		req.Body, req.ContentLength = body, r.length
		switch {
		case r.length == 0: // which net/http takes for unknown beside a body
			body.Close()
			req.Body = http.NoBody
		case r.length > 0: // lets net/http itself replace a connection found closed
			req.GetBody = r.open
		}
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", c.userAgent)
	if c.token != "" && !r.anonymous {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// closeDrained closes a body that was read but perhaps for its end, without which
// the connection could not be used again.
func closeDrained(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 1<<10) // a connection that can't be used again is no error
	body.Close()
}

// maxJSON bounds a JSON answer; a full page of blobs has about 1 MB, and a
// reference may have a text of 64 MB in it, of which JSON makes more.
const maxJSON = 256 << 20

// doJSON sends a request and reads the JSON it is answered with into answer.
func (c *Client) doJSON(ctx context.Context, r *request, answer any) error {
	_, err := c.doJSONHead(ctx, r, answer)
	return err
}

// doJSONHead is doJSON for who needs the answer's status or headers too; its body
// is closed.
func (c *Client) doJSONHead(ctx context.Context, r *request, answer any) (*http.Response, error) {
	res, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	defer closeDrained(res.Body)
	mediaType, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return nil, fmt.Errorf("%s answered with %s, not with JSON; is it a casgate gateway?", c.base, contentTypeText(res.Header))
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxJSON)).Decode(answer); err != nil {
		if ctx.Err() != nil {
			return nil, c.interrupted(ctx, r)
		}
		return nil, fmt.Errorf("the answer of %s broke off, or is not a casgate gateway's: %w", c.base, err)
	}
	return res, nil
}

// jsonBody makes body, marshalled, the body of a request.
func (r *request) jsonBody(body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r.header = http.Header{"Content-Type": {"application/json"}}
	r.length = int64(len(text))
	r.open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
	return nil
}
