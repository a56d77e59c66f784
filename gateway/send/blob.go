package send

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"casgate/cas"
)

// Answer is an answer that carries the bytes of a blob, or a part of them.
type Answer struct {
	Status  int
	Header  Header
	Content *cas.Content
	// Shared: the connection carries other answers at the same time, as in HTTP/2.
	Shared bool
}

// Blob writes the answer to w, whose ReadFrom, if it has one, must reach net/http's
// own writer. ctx is the request's. Content-Type and Content-Range are already in w's
// header; the caller closes the content.
//
// An error before the first byte leaves the answer unwritten. An error after it means
// that the answer is incomplete: the caller must then break the connection off.
// Errors wrap cas.ErrObjectCorrupt if the object is shorter than its blob.
func Blob(ctx context.Context, w http.ResponseWriter, a Answer) error {
	header := w.Header()
	header["Content-Length"] = []string{strconv.FormatInt(a.Content.Length, 10)}
	if conn := connOf(ctx); conn != nil && !a.Shared && len(a.Content.Bytes) > 0 && !a.Header.endsLines {
		conn.announce(a.Content, a.Header)
	} else {
		a.Header.AddTo(header)
	}
	if timeout := timeoutOf(ctx); a.Shared && timeout > 0 {
		w = newDeadlineWriter(w, timeout)
	}
	if a.Content.Body == nil {
		w.WriteHeader(a.Status)
		_, err := w.Write(a.Content.Bytes)
		return err
	}
	sent, err := stream(w, a.Status, a.Content)
	if err == nil && sent != a.Content.Length {
		err = shortReadError(io.ErrUnexpectedEOF)
	}
	return err
}

// stream writes the status and a body that is not in memory, and returns how many
// bytes it has written.
func stream(w http.ResponseWriter, status int, content *cas.Content) (int64, error) {
	if file, ok := content.Body.(*os.File); ok {
		w.WriteHeader(status)
		sent, err := io.CopyN(w, file, content.Length)
		return sent, shortReadError(err)
	}
	if body, ok := content.Body.(io.WriterTo); ok {
		return body.WriteTo(&startedWriter{ResponseWriter: w, status: status})
	}
	buffer, free := bufferFor(content.Length)
	defer free()
	first := buffer[:min(content.Length, int64(len(CopyBuffer{})))]
	if _, err := io.ReadFull(content.Body, first); err != nil {
		return 0, shortReadError(err)
	}
	w.WriteHeader(status)
	n, err := w.Write(first)
	if err != nil {
		return int64(n), err
	}
	rest, err := io.CopyBuffer(struct{ io.Writer }{w}, content.Body, buffer)
	return int64(n) + rest, err
}

// startedWriter writes the status before the first byte of the body.
type startedWriter struct {
	http.ResponseWriter
	status  int
	started bool
}

func (w *startedWriter) start() {
	if !w.started {
		w.started = true
		w.ResponseWriter.WriteHeader(w.status)
	}
}

// Write implements io.Writer.
func (w *startedWriter) Write(p []byte) (int, error) {
	w.start()
	return w.ResponseWriter.Write(p)
}

// ReadFrom implements io.ReaderFrom: it passes a file on disk on to net/http's own writer.
func (w *startedWriter) ReadFrom(r io.Reader) (int64, error) {
	w.start()
	return io.Copy(w.ResponseWriter, r)
}

// shortReadError turns a short read into cas.ErrObjectCorrupt.
func shortReadError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ended early", cas.ErrObjectCorrupt)
	}
	return err
}
