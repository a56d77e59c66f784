package send

import (
	"net/http"
	"time"
)

// deadlineWriter writes to one stream of a shared connection, such as HTTP/2. It gives up on a
// client that takes longer than the timeout for 256 KiB of it. The connection can't: a stream
// whose client takes nothing writes nothing, while the connection may have other streams.
type deadlineWriter struct {
	http.ResponseWriter
	stream  *http.ResponseController
	timeout time.Duration
}

func newDeadlineWriter(w http.ResponseWriter, timeout time.Duration) *deadlineWriter {
	return &deadlineWriter{w, http.NewResponseController(w), timeout}
}

func (w *deadlineWriter) Write(p []byte) (int, error) {
	total := 0
	for {
		if err := w.stream.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
			return total, err
		}
		n, err := w.ResponseWriter.Write(p[:min(len(p), writeChunk)])
		total += n
		if p = p[n:]; err != nil || len(p) == 0 {
			return total, err
		}
	}
}
