package s3client

import (
	"bytes"
	"io"
	"net/http"
)

// smallBody is the largest body, in bytes, that is read into memory before it is sent. The
// transport's buffer has room for it and the headers.
const smallBody = writeBuffer / 2

// isSmall reports whether a request fits into the transport's buffer with its body.
func isSmall(r *http.Request) bool {
	return r.ContentLength > 0 && r.ContentLength <= smallBody && len(r.Trailer) == 0
}

// gather reads the body of a request into memory. net/http sends such a body together with the
// headers, in one write. Before another body it sends the headers alone, which costs the store
// a read more. The body is copied, since net/http may still read it after the answer.
func gather(r *http.Request) error {
	defer r.Body.Close()
	var body bytes.Buffer
	body.Grow(int(r.ContentLength) + bytes.MinRead)
	// A body that is too short or too long is an error of net/http.
	if _, err := body.ReadFrom(io.LimitReader(r.Body, r.ContentLength+1)); err != nil {
		return err
	}
	r.Body = io.NopCloser(&body)
	return nil
}
