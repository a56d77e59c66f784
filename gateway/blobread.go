package gateway

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
)

// getBlob answers GET and HEAD of a hash URL.
func (g *Gateway) getBlob(c echo.Context) error {
	d, err := digestParam(c)
	if err != nil {
		return err
	}
	req := c.Request()
	download := ""
	if req.URL.RawQuery != "" {
		if download, err = cleanName(c.QueryParam("download")); err != nil {
			return err
		}
	}
	blob, err := g.store.Blob(req.Context(), d)
	if err != nil {
		return notFoundDetail(err, d)
	}

	etag := etagOf(d)
	h := c.Response().Header()
	if match := req.Header.Get("If-Match"); match != "" && !matchesETag(match, etag, false) {
		return &requestError{api.CodePreconditionFailed, "The blob's entity tag is not among those of If-Match."}
	}
	g.setBlobHeaders(h, blob, etag, download)
	if noneMatch := req.Header["If-None-Match"]; noneMatch != nil && matchesAny(noneMatch, etag) {
		return c.NoContent(http.StatusNotModified)
	}
	part, partial, err := requestedRange(req, blob, etag)
	if err != nil {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", blob.Size))
		return err
	}
	if !partial {
		part = byteRange{0, blob.Size}
	}

	if req.Method == http.MethodHead {
		h[echo.HeaderContentLength] = []string{strconv.FormatInt(blob.Size, 10)}
		c.Response().WriteHeader(http.StatusOK)
		return nil
	}
	content, err := g.store.Open(req.Context(), blob, part.Offset, part.Length)
	if err != nil {
		return notFoundDetail(err, d)
	}
	defer content.Close()
	h[echo.HeaderContentLength] = []string{strconv.FormatInt(content.Length, 10)}
	status := http.StatusOK
	if partial {
		status = http.StatusPartialContent
		h.Set("Content-Range", part.contentRange(blob.Size))
	}
	c.Response().WriteHeader(status)
	return g.send(c, content)
}

// notFoundDetail says which blob, once, however deep the error came from.
func notFoundDetail(err error, d cas.Digest) error {
	if err == cas.ErrBlobNotFound { //nolint:errorlint // only the bare one lacks the digest
		return fmt.Errorf("%w: %s", err, d)
	}
	return err
}

// requestedRange returns the part of the blob that the request asks for, if it
// asks for one and may have it.
func requestedRange(req *http.Request, blob cas.Blob, etag string) (byteRange, bool, error) {
	header := req.Header.Get("Range")
	if header == "" || req.Method != http.MethodGet || !blob.IsRangeable() {
		return byteRange{}, false, nil
	}
	if ifRange := req.Header.Get("If-Range"); ifRange != "" && ifRange != etag {
		return byteRange{}, false, nil
	}
	return parseRange(header, blob.Size)
}

// setBlobHeaders describes the blob, alike for 200, 206 and 304.
func (g *Gateway) setBlobHeaders(h http.Header, blob cas.Blob, etag, download string) {
	// The keys are in canonical form, and the slices below are never changed.
	h["Etag"] = []string{etag}
	h[headerReprDigest] = []string{formatDigestField(blob.Digest)}
	h["Accept-Ranges"] = headerBytes
	h[echo.HeaderContentType] = []string{blob.MediaType}
	h[echo.HeaderXContentTypeOptions] = headerNosniff
	h[echo.HeaderContentSecurityPolicy] = headerSandbox
	if g.o.PublicRead {
		h[echo.HeaderCacheControl] = headerPublic
	} else {
		h[echo.HeaderCacheControl] = headerPrivate
	}
	if disposition := contentDisposition(blob, download); disposition != "" {
		h[echo.HeaderContentDisposition] = []string{disposition}
	}
}

// Header values shared by all answers.
var (
	headerBytes   = []string{"bytes"}
	headerNosniff = []string{"nosniff"}
	headerSandbox = []string{"sandbox; default-src 'none'"}
	headerPublic  = []string{"public, max-age=31536000, immutable"}
	headerPrivate = []string{"private, max-age=31536000, immutable"}
)

// sendBuffers are for contents that the kernel can't send by itself.
var sendBuffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// send writes the content's bytes behind the headers already sent. Any error
// aborts the connection, so that no client takes what came for the whole.
func (g *Gateway) send(c echo.Context, content *cas.Content) error {
	if content.Bytes != nil || content.Length == 0 {
		_, err := c.Response().Write(content.Bytes)
		return err
	}
	var n int64
	var err error
	if file, ok := content.Body.(*os.File); ok {
		// Echo's writer hides net/http's, which hands files to the kernel.
		n, err = io.CopyN(c.Response().Writer, file, content.Length)
	} else {
		buffer := sendBuffers.Get().(*[256 << 10]byte)
		n, err = io.CopyBuffer(struct{ io.Writer }{c.Response().Writer}, content.Body, buffer[:])
		sendBuffers.Put(buffer)
	}
	logOf(c).bytesOut += n
	if err == nil && n != content.Length {
		err = fmt.Errorf("%w: %d of %d bytes came", cas.ErrObjectCorrupt, n, content.Length)
	}
	return err
}

func matchesAny(lists []string, etag string) bool {
	for _, list := range lists {
		if matchesETag(list, etag, true) {
			return true
		}
	}
	return false
}
