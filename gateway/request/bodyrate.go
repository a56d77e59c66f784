package request

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/problem"
)

// ErrSlowBody is the error of a body that came in more slowly than allowed.
var ErrSlowBody = problem.New(problem.RequestTimeout, "the body came in more slowly than allowed")

// MinRate is the least rate at which a body must come in.
type MinRate struct {
	BytesPerSecond int64
	// Window is the time over which the rate counts.
	Window time.Duration
}

const (
	// A body may take graceWindows windows, and in addition the time of its bytes at
	// sustainedFactor times the least rate. So the average rate that it needs rises with its
	// time, and the whole time of an upload is bounded by its size.
	graceWindows    = 10
	sustainedFactor = 16
)

// Body reads a request's body under a minimum rate. Each window must bring its share
// of bytes; the next one begins when the share has come in. So a client that sends a
// byte now and then is cut off like one that has stopped. A client that is just fast
// enough for each window is cut off later: see graceWindows.
//
// Its errors wrap cas.ErrBodyRead; those of a body that was too slow also wrap
// ErrSlowBody.
type Body struct {
	mu       sync.Mutex // held by Read, so that Stop can wait for it
	body     io.Reader
	control  *http.ResponseController
	window   time.Duration
	share    int64 // bytes a window must bring
	began    time.Time
	got      int64
	total    int64
	returned time.Time // when the last Read came back
	grace    time.Duration
	second   int64         // bytes for which a second more is granted
	waited   time.Duration // for the client, in all
	sticky   error
}

// Body returns the body of a request. The caller stops it before the request ends.
func (m MinRate) Body(c echo.Context) *Body {
	body := m.newBody(c.Response(), c.Request())
	StateOf(c).body = body
	return body
}

func (m MinRate) newBody(w http.ResponseWriter, r *http.Request) *Body {
	return &Body{
		body:    r.Body,
		control: http.NewResponseController(w),
		window:  m.Window,
		share:   max(1, m.BytesPerSecond*int64(m.Window/time.Second)),
		grace:   graceWindows * m.Window,
		second:  max(1, sustainedFactor*m.BytesPerSecond),
	}
}

// LimitUnread sets a deadline for a body that a handler may never read: net/http
// reads the rest of it before it answers.
func (m MinRate) LimitUnread(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		// Fails only if the connection is gone or takes no deadlines at all.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(m.Window))
	}
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sticky != nil {
		return 0, b.sticky
	}
	if b.waited > b.grace+time.Duration(float64(b.total)/float64(b.second)*float64(time.Second)) {
		return 0, b.end(os.ErrDeadlineExceeded)
	}
	now := time.Now()
	ours := now.Sub(b.returned) > b.window/8 // a slow store's time is not the client's
	if b.began.IsZero() || ours || b.got >= b.share && now.Sub(b.began) > b.window/8 {
		b.began, b.got = now, 0
		if err := b.control.SetReadDeadline(now.Add(b.window)); err != nil {
			return 0, b.end(err)
		}
	}
	n, err := b.body.Read(p)
	b.returned = time.Now()
	b.waited += b.returned.Sub(now)
	b.got += int64(n)
	b.total += int64(n)
	if err != nil {
		return n, b.end(err)
	}
	return n, nil
}

// end wraps the error, and sets the deadline for what follows. After a whole body there
// is none: it would strike the server's own reading of the connection while the blob
// is stored. After a slow body it is in the past: net/http would otherwise patiently
// read the rest.
func (b *Body) end(err error) error {
	var deadline time.Time
	switch {
	case err == io.EOF:
		b.sticky = err
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.sticky = fmt.Errorf("%w: %w (%d bytes came in)", cas.ErrBodyRead, ErrSlowBody, b.total)
		deadline = longAgo
	default:
		b.sticky = fmt.Errorf("%w after %d bytes: %w", cas.ErrBodyRead, b.total, err)
		return b.sticky
	}
	if err := b.control.SetReadDeadline(deadline); err != nil && b.sticky == io.EOF {
		b.sticky = fmt.Errorf("%w: %w", cas.ErrBodyRead, err)
	}
	return b.sticky
}

// Stop ends all reading. An HTTP client that forwards the body to a store that
// refuses it may return while it is still reading. After the end of the request such
// a read would take bytes of the next request on the connection.
func (b *Body) Stop() {
	if !b.mu.TryLock() {
		// Setting the deadline fails only on a closed connection, which ends the Read too.
		_ = b.control.SetReadDeadline(longAgo)
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	if b.sticky == nil {
		b.sticky = fmt.Errorf("%w: the request is over", cas.ErrBodyRead)
	}
}

// received returns how many bytes came in.
func (b *Body) received() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// longAgo is a deadline that ends a Read at once.
var longAgo = time.Unix(1, 0)
