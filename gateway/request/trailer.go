package request

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net/http"

	"casgate/cas"
	"casgate/gateway/problem"
)

// verifyTrailer returns a request's body, which is verified against the digest fields in
// the request's trailer if it announces such fields (RFC 9110, section 6.6.2). They are
// about the content of the message, so about a whole form. The error of the last Read
// then wraps cas.ErrDigestMismatch, or says that a field is malformed, or was not
// announced: without Trailer each chunked body would have to be hashed for a field that
// may come.
func verifyTrailer(r *http.Request, body io.Reader) io.Reader {
	// HTTP/1.1 has a trailer only after a chunked body. HTTP/2 has one after any body.
	if r.ContentLength >= 0 && r.ProtoMajor == 1 {
		return body
	}
	b := &trailedBody{src: body, request: r}
	_, repr := r.Trailer[HeaderReprDigest]
	_, content := r.Trailer[HeaderContentDigest]
	if repr || content {
		b.sum = sha256.New()
	}
	return b
}

// trailedBody verifies a body against its trailer.
type trailedBody struct {
	src     io.Reader
	request *http.Request
	sum     hash.Hash // nil: no digest field was announced
}

// Read implements io.Reader.
func (b *trailedBody) Read(p []byte) (int, error) {
	n, err := b.src.Read(p)
	if b.sum != nil {
		b.sum.Write(p[:n])
	}
	if err == io.EOF {
		// The trailer has arrived by now.
		if problem := b.verify(); problem != nil {
			return n, problem
		}
	}
	return n, err
}

func (b *trailedBody) verify() error {
	declared, err := declaredDigest(b.request.Trailer)
	if err != nil || declared == nil {
		return err
	}
	if b.sum == nil {
		return problem.BadRequest("a digest in the trailer must be announced by a field before the body, such as Trailer: " + HeaderReprDigest)
	}
	if got := cas.Digest(b.sum.Sum(nil)); got != *declared {
		return fmt.Errorf("%w: the bytes have digest %s, and the trailer declares %s", cas.ErrDigestMismatch, got, *declared)
	}
	return nil
}
