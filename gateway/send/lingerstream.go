package send

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// streamIdle is how long a client that still sends its request may pause, once it is answered.
// A client that has stopped waits so long for the end of the answer.
const streamIdle = 250 * time.Millisecond

// LingerStreams is a handler that answers as next does. On a stream of HTTP/2 it goes on reading
// and discarding the request for a while, if next has answered before it had read all.
//
// net/http resets a stream whose handler has returned and that still has bytes to come
// (RFC 9113, section 8.1). Many clients, such as curl before version 8, then report the reset
// and not the answer. Such requests are uploads that were refused.
func LingerStreams(next http.Handler) http.Handler {
	lingering := make(chan struct{}, maxLingering)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		body := &streamBody{ReadCloser: r.Body}
		r.Body = body
		next.ServeHTTP(w, r)
		if body.isEnded.Load() {
			return
		}
		select {
		case lingering <- struct{}{}:
			defer func() { <-lingering }()
			body.discard(http.NewResponseController(w))
		default:
		}
	})
}

// streamBody is the body of a request, and knows whether it was read to its end.
type streamBody struct {
	io.ReadCloser
	isEnded atomic.Bool // the body may be read still after its handler has returned
}

// Read implements io.Reader.
func (b *streamBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.isEnded.Store(true)
	}
	return n, err
}

// discard sends the answer, and reads the rest of the request. What goes wrong has no use: the
// request is answered.
func (b *streamBody) discard(stream *http.ResponseController) {
	if stream.Flush() != nil {
		return
	}
	for end, left := time.Now().Add(lingerTime), lingerBytes; left > 0 && time.Now().Before(end); left -= writeChunk {
		if stream.SetReadDeadline(time.Now().Add(streamIdle)) != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, b, writeChunk); err != nil {
			return
		}
	}
}
