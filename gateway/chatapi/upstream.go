package chatapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"casgate/cas/tracing"
	"casgate/providers"
)

// newTransport returns the transport for requests to models.
func newTransport() *http.Transport {
	t := providers.NewTransport()
	t.MaxIdleConnsPerHost = 64
	t.DialContext = forEarlyAnswers(t.DialContext)
	t.DisableCompression = true // a compressed stream could not be passed on event by event
	return t
}

// upstream sends requests to providers.
type upstream struct {
	transport            http.RoundTripper
	answerTime, idleTime time.Duration
	metrics              *metrics
}

func newUpstream(o Options, m *metrics) *upstream {
	return &upstream{o.Transport, o.AnswerTimeout, o.IdleTimeout, m}
}

var (
	errNoAnswer = errors.New("the provider did not begin its answer in time")
	errSilent   = errors.New("the provider's answer stopped in the middle")
)

// RoundTrip implements http.RoundTripper. It sends the request, and once more if a file
// that it names was lost and could be replaced.
func (c *call) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.send(r)
	if err != nil {
		return nil, err
	}
	again, err := c.heal(r, answer)
	if err != nil {
		return nil, err
	}
	if again != nil {
		if answer, err = c.send(again); err != nil {
			return nil, err
		}
	}
	if c.sent.Load() { // an answer may last for minutes, and needs no memory for its request
		c.pieces = nil
		c.release()
	}
	if location := answer.Header.Get("Location"); answer.StatusCode/100 == 3 && location != "" {
		answer.Body.Close() // the client would follow it, perhaps with its token
		return nil, redirected(c.to.provider, answer.StatusCode)
	}
	if err := hold(answer); err != nil {
		answer.Body.Close()
		return nil, c.failure(r.Context(), err)
	}
	return answer, nil
}

// send sends the request once.
func (c *call) send(r *http.Request) (*http.Response, error) {
	end := func() {}
	if c.to.chat.Begin != nil {
		var err error
		if end, err = c.to.chat.Begin(r.Context()); err != nil {
			return nil, c.failure(r.Context(), err)
		}
	}
	_, span := tracing.Call(r.Context(), "chat")
	span.Set(tracing.Provider, c.to.provider)
	ctx, cancel := context.WithCancelCause(withoutValues{r.Context()})
	patience := time.AfterFunc(c.h.upstream.answerTime, func() { cancel(errNoAnswer) })
	began := time.Now()
	answer, err := c.h.upstream.transport.RoundTrip(r.WithContext(ctx))
	patience.Stop()
	if err != nil {
		cause := context.Cause(ctx)
		cancel(nil)
		end()
		span.Fail("unavailable")
		span.End()
		if errors.Is(cause, errNoAnswer) {
			err = cause
		}
		return nil, c.failure(r.Context(), err)
	}
	span.SetInt("http.response.status_code", int64(answer.StatusCode))
	c.h.metrics.firstByte(c.to.provider, time.Since(began))
	body := &answerBody{body: answer.Body, call: c, ctx: ctx, cancel: cancel, end: end, span: span, idle: c.h.upstream.idleTime}
	if answer, err = c.received(answer); err != nil {
		body.Close()
		return nil, err
	}
	body.body = answer.Body
	answer.Body = struct {
		io.Reader
		io.Closer
	}{c.secrets.reader(body), body}
	return answer, nil
}

// received returns an answer as it can be passed on: decoded, and without the fields that
// follow its body, which package http adds to the answer that it has returned.
func (c *call) received(from *http.Response) (*http.Response, error) {
	answer := *from
	answer.Trailer = nil
	if answer.StatusCode < http.StatusOK {
		return nil, switched(c.to.provider, answer.StatusCode)
	}
	return &answer, decode(c.to.provider, &answer)
}

// failure returns the error for a provider that gave no answer.
func (c *call) failure(client context.Context, err error) error {
	if client.Err() != nil {
		return fmt.Errorf("the client has left: %w", context.Cause(client))
	}
	if _, ok := errors.AsType[*providers.Error](err); ok { // the limits of the account
		return err
	}
	return unavailable(c.to.provider, err)
}

// withoutValues is a context without the values of another: among them are the hooks by
// which a proxy passes on a provider's interim answers, with whatever fields they have.
type withoutValues struct{ context.Context }

// Value implements context.Context.
func (withoutValues) Value(any) any { return nil }

// AfterFunc lets package context follow the other one without a goroutine.
func (c withoutValues) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.Context, f) }

// answerBody is the body of an answer. It gives up on a provider that goes silent, and
// looks at what passes.
type answerBody struct {
	body   io.ReadCloser
	call   *call
	ctx    context.Context
	cancel context.CancelCauseFunc
	end    func() // of the slot at the provider
	span   tracing.Span
	idle   time.Duration
	timer  *time.Timer
	usage  usageTail
	once   sync.Once
}

// Read implements io.Reader. The time that the client takes does not count.
func (b *answerBody) Read(p []byte) (int, error) {
	if b.timer == nil {
		b.timer = time.AfterFunc(b.idle, func() { b.cancel(errSilent) })
	} else {
		b.timer.Reset(b.idle)
	}
	n, err := b.body.Read(p)
	b.timer.Stop()
	b.usage.add(p[:n])
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.call.h.metrics.tokens(b.call.to.provider, b.usage.bytes())
	case errors.Is(context.Cause(b.ctx), errSilent):
		err = errSilent
		b.call.broke(err)
	case b.call.c.Request().Context().Err() != nil: // the client has left, which is no fault of the provider
	default:
		b.call.broke(fmt.Errorf("the provider's answer broke off: %w", err))
	}
	return n, err
}

// Close implements io.Closer.
func (b *answerBody) Close() error {
	var err error
	b.once.Do(func() {
		if b.timer != nil {
			b.timer.Stop()
		}
		b.cancel(nil)
		err = b.body.Close()
		b.end()
		b.span.End()
	})
	return err
}
