package request

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/problem"
)

// Uploads bounds the bodies of uploads.
type Uploads struct {
	MaxSize int64 // bytes of a blob
	Rate    MinRate
}

// Raw describes an upload whose body is the blob.
func (u Uploads) Raw(c echo.Context) (cas.Upload, error) {
	req := c.Request()
	if err := checkBody(req, u.MaxSize); err != nil {
		return cas.Upload{}, err
	}
	mediaType := cas.NormalMediaType(req.Header.Get(echo.HeaderContentType))
	if strings.HasPrefix(mediaType, "multipart/") {
		return cas.Upload{}, problem.BadRequest("a multipart body is taken by POST /v1/blobs as multipart/form-data, with one file part")
	}
	name, err := CleanName(c.QueryParam("name"))
	if err != nil {
		return cas.Upload{}, err
	}
	digest, err := declaredDigest(req.Header)
	if err != nil {
		return cas.Upload{}, err
	}
	return cas.Upload{Body: verifyTrailer(req, u.Rate.Body(c)), Size: req.ContentLength, Digest: digest, MediaType: mediaType, Name: name}, nil
}

// StopBody stops the body of the upload, if the request has one: see [Body.Stop].
func StopBody(c echo.Context) {
	if body := StateOf(c).body; body != nil {
		body.Stop()
	}
}

// WaitsForContinue reports whether the client sends its body only after 100 Continue
// (RFC 9110, section 10.1.1).
func WaitsForContinue(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Expect"), "100-continue")
}

// checkBody refuses a body that can't be right before it is read, such as one of more
// than maxSize bytes.
func checkBody(r *http.Request, maxSize int64) error {
	switch {
	case r.ContentLength > maxSize:
		return fmt.Errorf("%w: it has %d bytes, and at most %d are taken", cas.ErrBlobTooLarge, r.ContentLength, maxSize)
	case r.ContentLength == 0 && r.Header.Get(echo.HeaderContentLength) == "" && r.ProtoMajor == 1 && len(r.TransferEncoding) == 0:
		return problem.New(problem.LengthRequired, "The request has no body. Send Content-Length (0 for the empty blob) or a chunked body.")
	case r.Header.Get("Content-Range") != "":
		return problem.BadRequest("Content-Range: a blob is taken whole or not at all")
	}
	if coding := r.Header.Get(echo.HeaderContentEncoding); coding != "" && !strings.EqualFold(coding, "identity") {
		return problem.New(problem.UnsupportedMedia, "Content-Encoding is not supported: send the blob's own bytes.")
	}
	return nil
}
