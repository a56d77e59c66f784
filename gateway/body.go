package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
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
	body    io.Reader
	control *http.ResponseController
	window  time.Duration
	share   int64 // bytes a window must bring
	began   time.Time
	got     int64
	total   int64
	sticky  error
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
	if b.sticky != nil {
		return 0, b.sticky
	}
	now := time.Now()
	if b.began.IsZero() || b.got >= b.share && now.Sub(b.began) > time.Second {
		b.began, b.got = now, 0
		if err := b.control.SetReadDeadline(now.Add(b.window)); err != nil {
			return 0, b.end(err)
		}
	}
	n, err := b.body.Read(p)
	b.got += int64(n)
	b.total += int64(n)
	if err != nil {
		return n, b.end(err)
	}
	return n, nil
}

// end takes the deadline away, lest it strike the server's own reading of the
// connection while the blob is stored, and gives the error its meaning.
func (b *uploadBody) end(err error) error {
	switch {
	case err == io.EOF:
		b.sticky = err
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.sticky = fmt.Errorf("%w: %w (%d bytes came in)", cas.ErrBodyRead, errSlowBody, b.total)
	default:
		b.sticky = fmt.Errorf("%w after %d bytes: %w", cas.ErrBodyRead, b.total, err)
	}
	if clearErr := b.control.SetReadDeadline(time.Time{}); clearErr != nil && err == io.EOF {
		b.sticky = fmt.Errorf("%w: %w", cas.ErrBodyRead, clearErr)
	}
	return b.sticky
}
