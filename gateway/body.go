package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"casgate/cas"
)

// uploadBody reads a request's body under a minimum rate: in each window, which
// begins when the last one's share has come in, the window's share of bytes must
// come in. A client that drips a byte now and then is so cut off as surely as one
// that has stopped.
//
// Its errors wrap cas.ErrBodyRead; a body that was too slow also errSlowBody.
type uploadBody struct {
	mu       sync.Mutex // held by Read, lest it outlive the request
	body     io.Reader
	control  *http.ResponseController
	window   time.Duration
	share    int64 // bytes a window must bring
	began    time.Time
	got      int64
	total    int64
	returned time.Time // when the last Read came back
	sticky   error
}

func newUploadBody(w http.ResponseWriter, r *http.Request, minRate int64, window time.Duration) *uploadBody {
	return &uploadBody{
		body:    r.Body,
		control: http.NewResponseController(w),
		window:  window,
		share:   max(1, minRate*int64(window/time.Second)),
	}
}

func (b *uploadBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sticky != nil {
		return 0, b.sticky
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
	b.got += int64(n)
	b.total += int64(n)
	if err != nil {
		return n, b.end(err)
	}
	return n, nil
}

// end gives the error its meaning, and leaves the deadline as what follows needs
// it: none behind a whole body, lest it strike the server's own reading of the
// connection while the blob is stored; and one in the past behind a slow one, of
// which net/http would otherwise patiently read the rest.
func (b *uploadBody) end(err error) error {
	var deadline time.Time
	switch {
	case err == io.EOF:
		b.sticky = err
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.sticky = fmt.Errorf("%w: %w (%d bytes came in)", cas.ErrBodyRead, errSlowBody, b.total)
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

// stop ends all reading. An HTTP client that sends the body on, to a store that
// refuses it, may return while it is still reading; past the request's end that
// would reach into the connection's next one.
func (b *uploadBody) stop() {
	if !b.mu.TryLock() {
		// Only a connection that is gone takes no deadline, and that ends the Read too.
		_ = b.control.SetReadDeadline(longAgo)
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	if b.sticky == nil {
		b.sticky = fmt.Errorf("%w: the request is over", cas.ErrBodyRead)
	}
}

// received returns how many bytes came in.
func (b *uploadBody) received() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// longAgo is a deadline that ends what is under way.
var longAgo = time.Unix(1, 0)

// guardBody sets a deadline for a body that may never be read by a handler:
// net/http reads what is left of it before it answers.
func (g *Gateway) guardBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		// Fails only where the connection is gone or takes no deadlines at all.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(g.o.BodyWindow))
	}
}
