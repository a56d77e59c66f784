package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// uploadPatience is how long a gateway may take no bytes of an upload, or send no answer to
	// all of them. The gateway bounds each wait for its own store and index: together they take
	// minutes at most, even if it repeats its writes.
	uploadPatience = 15 * time.Minute
	// uploadRate is the rate, in bytes per second, at which a gateway passes an upload on to its
	// store after it has received it. The patience grows by that time.
	uploadRate = 256 << 10
)

// errSilentUpload is the cause if a gateway was silent for so long during an upload.
var errSilentUpload = errors.New("it took no more bytes of the upload, and sent no answer, for longer than any work of a gateway takes")

// uploadWait ends an upload whose gateway is silent. The time in which the upload waits for its
// own source does not count.
type uploadWait struct {
	mu      sync.Mutex
	timer   *time.Timer
	sent    int64
	isEnded bool
}

// startUploadWait begins the wait. The caller ends it.
func startUploadWait(cancel context.CancelCauseFunc) *uploadWait {
	return &uploadWait{timer: time.AfterFunc(uploadPatience, func() { cancel(errSilentUpload) })}
}

// watch makes the request's body tell what the gateway takes of it.
func (w *uploadWait) watch(req *http.Request) {
	if req.Body == nil || req.Body == http.NoBody {
		return
	}
	req.Body = &waitedBody{req.Body, w}
	if open := req.GetBody; open != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			body, err := open()
			if err != nil {
				return nil, err
			}
			return &waitedBody{body, w}, nil
		}
	}
}

// end ends the wait.
func (w *uploadWait) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isEnded = true
	w.timer.Stop()
}

// pause stops the time: the gateway has taken all that was read.
func (w *uploadWait) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
}

// resume starts the time anew, with n more bytes for the gateway.
func (w *uploadWait) resume(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent += int64(n)
	if !w.isEnded {
		w.timer.Reset(uploadPatience + time.Duration(w.sent/uploadRate)*time.Second)
	}
}

// waitedBody is the body of an upload. Between two reads of it the gateway takes its bytes.
type waitedBody struct {
	io.ReadCloser
	wait *uploadWait
}

// Read implements io.Reader.
func (b *waitedBody) Read(p []byte) (int, error) {
	b.wait.pause()
	n, err := b.ReadCloser.Read(p)
	b.wait.resume(n)
	return n, err
}
