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
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"casgate/gateway/problem"
)

// request describes a request, which may be sent several times.
type request struct {
	method string
	path   string // below the base URL
	query  url.Values
	header http.Header
	// open opens the body for each attempt; nil means no body. length is its length in
	// bytes, -1 if it isn't known.
	open   func() (io.ReadCloser, error)
	length int64
	// mayRetry decides about another attempt after a temporary error; nil means no.
	mayRetry func(error) bool
	// anonymous leaves out the token.
	anonymous bool
	// patient waits for the answer without a time limit, as for a copy or a model.
	patient bool
	// upload waits as long as the gateway takes bytes, see uploadWait.
	upload bool
	// provider reports whether an error is a provider's own answer; nil means never.
	provider func(http.Header) bool
	// accept is a status that is no error, in addition to 2xx.
	accept int
}

func setText(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func setRetry(q url.Values, retry bool) {
	if retry {
		q.Set("retry", "true")
	}
}

func always(error) bool { return true }

// unapplied reports whether an error proves that the request had no effect: it was not
// sent, or was refused at the door.
func unapplied(err error) bool {
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return true
	}
	return errors.Is(err, problem.Overloaded) || errors.Is(err, problem.TooManyRequests)
}

// The first retry comes after firstWait, and each next one after twice that time, up to
// longestWait. If the gateway asks for a wait above longestRetryAfter, the caller gets
// the error.
const (
	firstWait         = 100 * time.Millisecond
	longestWait       = 5 * time.Second
	longestRetryAfter = 30 * time.Second
)

// do sends a request, with retries, and returns a successful answer with its body open.
func (c *Client) do(ctx context.Context, r *request) (*http.Response, error) {
	for attempt := 0; ; attempt++ {
		res, err := c.try(ctx, r)
		if err == nil {
			return res, nil
		}
		wait, again := retryWait(err, attempt)
		if !again || attempt >= c.retries || ctx.Err() != nil || r.mayRetry == nil || !r.mayRetry(err) {
			return nil, err
		}
		if c.onRetry != nil {
			c.onRetry(err, wait)
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

// interrupted returns the error of a request whose context has ended.
func (c *Client) interrupted(ctx context.Context, r *request) error {
	return fmt.Errorf("%s %s: %w", r.method, c.base+r.path, context.Cause(ctx))
}

// retryWait reports whether an error is temporary, and how long to wait.
func retryWait(err error, attempt int) (time.Duration, bool) {
	wait := min(longestWait, firstWait<<min(attempt, 10))
	wait = wait/2 + rand.N(wait)/2
	if errors.Is(err, ErrUnreachable) {
		return wait, !errors.Is(err, errSilent) && !errors.Is(err, errSilentUpload)
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || !e.Problem.Retryable {
		return 0, false
	}
	switch e.Problem.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
	default:
		// A proxy's 502 or 504 has no code: the work may go on behind it.
		if e.Problem.Code != problem.CopyInProgress && (e.Problem.Code != "" || !isProxyFailure(e.Problem.Status)) {
			return 0, false
		}
	}
	// Not before the time that the gateway names, and not all clients at once.
	return e.retryAfter + wait, e.retryAfter <= longestRetryAfter
}

// errNoAnswer is the cause if a request waited too long for its answer.
var errNoAnswer = fmt.Errorf("no answer within %v", answerTimeout)

// errSilent is errNoAnswer on a new connection. The gateway is silent then, and a repetition
// would only wait once more. An older connection may have been lost without a word.
var errSilent = fmt.Errorf("%w on a new connection", errNoAnswer)

// try sends a request once.
func (c *Client) try(ctx context.Context, r *request) (*http.Response, error) {
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	if !r.patient && !r.upload {
		var reused atomic.Bool
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused.Store(i.Reused) }})
		timer := time.AfterFunc(answerTimeout, func() {
			if reused.Load() {
				cancel(errNoAnswer)
			} else {
				cancel(errSilent)
			}
		})
		defer timer.Stop()
	}
	req, err := c.newRequest(ctx, r)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if r.upload {
		wait := startUploadWait(cancel)
		defer wait.end()
		wait.watch(req)
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
		err = connectionError(c.base, err)
		if r.method == http.MethodDelete && r.mayRetry == nil && errors.Is(err, ErrUnreachable) && !unapplied(err) {
			err = fmt.Errorf("%w; the delete may have been done; if a repetition finds nothing to delete, it was", err)
		}
		return nil, err
	}
	if res.StatusCode/100 != 2 && res.StatusCode != r.accept {
		defer cancel(nil)
		defer closeDrained(res.Body)
		if r.provider != nil && r.provider(res.Header) {
			return nil, providersError(res)
		}
		e := answerError(r, c.base, res)
		if e.Anonymous = req.Header.Get("Authorization") == ""; !e.Anonymous {
			e.TokenSource = c.tokenFrom
		}
		if err := c.wrongPath(ctx, e); err != nil {
			return nil, err
		}
		return nil, e
	}
	res.Body = &answerBody{res.Body, cancel}
	return res, nil
}

// answerBody releases the request's context when it is closed.
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
		case r.length == 0: // net/http reads 0 with a body as an unknown length
			body.Close()
			req.Body = http.NoBody
		case r.length > 0: // so net/http can send again if it finds a connection closed
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

// closeDrained reads the rest of a body and closes it, so that the connection can be
// used again.
func closeDrained(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 1<<10) // it is no error to lose the connection
	body.Close()
}

// maxJSON bounds a JSON answer in bytes. A full page of blobs has about 1 MB. A
// reference may contain a text of 64 MB, and JSON makes that longer.
const maxJSON = 256 << 20

// doJSON sends a request and decodes the JSON of its answer.
func (c *Client) doJSON(ctx context.Context, r *request, answer any) error {
	_, err := c.doJSONHead(ctx, r, answer)
	return err
}

// doJSONHead is doJSON for callers that need the status or the headers too. The body of
// the response is closed.
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

// jsonBody sets the body of a request to the JSON of a value.
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
