package s3client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

const (
	// retryTime is how much longer than one attempt a call may wait for its answer, in all
	// its attempts.
	retryTime = 3 * time.Second
	// flushRate is the rate, in bytes per second, at which a store makes the bytes of an
	// upload durable after it has received them. The answer to an upload comes after that.
	flushRate = 32 << 20
	// listFactor is how much longer a store may take for a page of a list.
	listFactor = 6
	// busyTransfers is the number of answers whose bytes the gateway reads at the same time, from
	// which on the store is busy with the gateway's own reads. A read that waits for its answer then
	// waits for up to busyFactor times as long, as long as the store sends bytes to any of
	// the others.
	busyTransfers = 16
	busyFactor    = 6
	// logInterval is how often the log says that the store lets requests wait.
	logInterval = 10 * time.Second
)

// TimeoutError is the error of a call for which the store let the gateway wait too long.
// It does not wrap the errors of package context: those are the caller's.
type TimeoutError struct {
	For   string // what was waited for
	Limit time.Duration
}

// Error implements error.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("the store %s within %v", e.For, e.Limit.Round(time.Millisecond))
}

// The waits of a request.
const (
	forAnswer  = "sent no answer"
	forTaking  = "took no more bytes of the upload"
	forSending = "sent no more bytes"
)

// limits is a transport that bounds each wait for the store. The time of a slow source
// of an upload, or of a slow reader of a download, does not count.
type limits struct {
	base    http.RoundTripper
	timeout time.Duration
	store   string // for the log
	log     zerolog.Logger
	seldom  *rate.Sometimes
	traffic *traffic
}

// traffic is what the store sends.
type traffic struct {
	transfers atomic.Int64 // answers whose bodies are open
	last      atomic.Int64 // when bytes of any body came last, in nanoseconds since 1970
}

func newLimits(base http.RoundTripper, timeout time.Duration, store string, log zerolog.Logger) limits {
	return limits{base: base, timeout: timeout, store: store, log: log, seldom: &rate.Sometimes{Interval: logInterval}, traffic: &traffic{}}
}

// Call is one call of the store, with all its attempts. Together they may wait for an
// answer a little longer than one attempt. Without a Call, each attempt has its own limit.
type Call struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	limits *limits

	mu     sync.Mutex
	waited time.Duration // for the store, since the last progress
	sent   int64         // bytes of the upload, in the attempt that came farthest
}

type callKey struct{}

// Begin begins a call. The requests of the call must have the context that it returns.
// The caller ends the call after the body of its answer is read.
func (c *Client) Begin(ctx context.Context) (context.Context, *Call) {
	ctx, cancel := context.WithCancelCause(ctx)
	call := &Call{cancel: cancel, limits: &c.limits}
	call.ctx = context.WithValue(ctx, callKey{}, call)
	return call.ctx, call
}

// End ends the call.
func (c *Call) End() { c.cancel(nil) }

// Err returns the *TimeoutError of a call that waited too long, else err.
func (c *Call) Err(err error) error {
	if timeout, ok := context.Cause(c.ctx).(*TimeoutError); ok && err != nil {
		return timeout
	}
	return err
}

// left returns how long a wait of an attempt may last, at most most.
func (c *Call) left(most time.Duration) time.Duration {
	if c == nil {
		return most
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return min(most, most+retryTime-c.waited)
}

// add adds a wait that ended. Progress resets the sum.
func (c *Call) add(waited time.Duration, progress bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waited += waited
	if progress {
		c.waited = 0
	}
}

// advance reports whether an attempt has sent more bytes than any attempt before.
func (c *Call) advance(sent int64) bool {
	if c == nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	isMore := sent > c.sent
	c.sent = max(c.sent, sent)
	return isMore
}

// exhausted ends the call if another attempt, which may wait for so long, has no time left.
func (c *Call) exhausted(err *TimeoutError, limit time.Duration) {
	if c != nil && c.left(limit) <= 0 {
		c.cancel(err)
	}
}

// RoundTrip implements http.RoundTripper.
func (l *limits) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	call, _ := ctx.Value(callKey{}).(*Call)
	a := &attempt{limits: l, call: call, cancel: cancel, method: r.Method, answer: l.timeout}
	isList := strings.Contains(r.URL.RawQuery, "list-type=")
	if isList {
		a.answer = listFactor * l.timeout
	}
	r = r.WithContext(ctx)
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		a.isRead = r.Method == http.MethodGet && !isList
	case isSmall(r):
		if err := gather(r); err != nil {
			cancel(nil)
			return nil, err
		}
	default:
		a.answer += time.Duration(r.ContentLength/flushRate) * time.Second
		r.Body = &requestBody{ReadCloser: r.Body, attempt: a}
	}
	a.start(forAnswer, a.answer)
	response, err := l.base.RoundTrip(r)
	a.answered(err == nil)
	if err != nil {
		err = a.err(err)
		cancel(nil)
		return nil, err
	}
	l.traffic.transfers.Add(1)
	response.Body = &responseBody{ReadCloser: response.Body, attempt: a}
	return response, nil
}

// attempt is one request. It cancels the request if a wait takes too long.
type attempt struct {
	limits *limits
	call   *Call // nil: the limit of the attempt alone
	cancel context.CancelCauseFunc
	method string
	answer time.Duration // how long the store may take for an answer
	isRead bool          // a GET of an object, or of something small

	mu         sync.Mutex
	wait       *TimeoutError // of the wait at present; nil: there is none
	began      time.Time
	left       time.Duration // for the wait
	timer      *time.Timer   // runs during a wait
	isAnswered bool
	timeout    *TimeoutError // of the wait that took too long
}

// start begins a wait for the store.
func (a *attempt) start(what string, limit time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wait, a.began, a.left = &TimeoutError{what, limit}, time.Now(), max(0, a.call.left(limit))
	if a.timer == nil {
		a.timer = time.AfterFunc(a.left, a.expire)
	} else {
		a.timer.Reset(a.left)
	}
}

// stop ends the wait, if there is one.
func (a *attempt) stop(progress bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopLocked(progress)
}

func (a *attempt) stopLocked(progress bool) {
	if a.wait != nil {
		a.timer.Stop()
		a.wait = nil
		a.call.add(time.Since(a.began), progress)
	}
}

// answered ends the wait for the answer. A body that is still being sent has no limit
// any more: net/http stops to send it.
func (a *attempt) answered(isAnswered bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopLocked(isAnswered)
	a.isAnswered = true
}

// expire cancels the request if its wait is over. The timer may fire late, in the next
// wait.
func (a *attempt) expire() {
	a.mu.Lock()
	timeout := a.wait
	if timeout == nil || time.Since(a.began) < a.left {
		a.mu.Unlock()
		return
	}
	waited := time.Since(a.began)
	if more := a.more(waited); more > 0 {
		a.left = waited + more
		a.timer.Reset(more)
		a.mu.Unlock()
		return
	}
	a.stopLocked(false)
	limit := timeout.Limit
	if waited > limit+limit/busyFactor { // it had more time
		timeout = &TimeoutError{timeout.For, waited}
	}
	a.timeout = timeout
	a.mu.Unlock()
	a.limits.seldom.Do(func() {
		a.limits.log.Warn().Str("store", a.limits.store).Str("method", a.method).Err(timeout).Msg("the object store lets requests wait")
	})
	a.call.exhausted(timeout, limit)
	a.cancel(timeout)
}

// more returns how much longer than so far a wait may last, because the store is busy with many
// other reads of the gateway and does not hang: it sent bytes to one of them a moment ago. The
// caller holds a.mu.
func (a *attempt) more(waited time.Duration) time.Duration {
	l := a.limits
	if !a.isRead || a.wait.For != forAnswer || l.traffic.transfers.Load() < busyTransfers {
		return 0
	}
	silent := time.Since(time.Unix(0, l.traffic.last.Load()))
	return min(l.timeout-silent, busyFactor*a.wait.Limit-waited)
}

// err returns the *TimeoutError of an attempt that waited too long, else err.
func (a *attempt) err(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timeout != nil {
		return a.timeout
	}
	return err
}

// requestBody is the body of an upload. Between two reads of it the store takes its
// bytes.
type requestBody struct {
	io.ReadCloser
	*attempt
	sent int64
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.stop(b.call.advance(b.sent))
	n, err := b.ReadCloser.Read(p)
	b.sent += int64(n)
	b.mu.Lock()
	isAnswered := b.isAnswered
	b.mu.Unlock()
	switch {
	case isAnswered:
	case err != nil:
		b.start(forAnswer, b.answer)
	default:
		b.start(forTaking, b.limits.timeout)
	}
	return n, err
}

// responseBody is the body of an answer.
type responseBody struct {
	io.ReadCloser
	*attempt
	closed atomic.Bool
}

func (b *responseBody) Read(p []byte) (int, error) {
	b.start(forSending, b.limits.timeout)
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.limits.traffic.last.Store(time.Now().UnixNano())
	}
	b.stop(n > 0)
	if err != nil && err != io.EOF {
		err = b.err(err)
	}
	return n, err
}

func (b *responseBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	if !b.closed.Swap(true) {
		b.limits.traffic.transfers.Add(-1)
	}
	return err
}
