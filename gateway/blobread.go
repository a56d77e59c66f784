package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/problem"
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
	return g.serveBlob(c, blob, view{caching: g.caching, download: download})
}

// view is how a blob is shown, beyond what it is.
type view struct {
	caching  string // the Cache-Control
	download string // serve as an attachment of this name
	location string // the Content-Location, where it isn't the URL that was asked for
}

// serveBlob answers GET and HEAD with a blob, or a part of it.
func (g *Gateway) serveBlob(c echo.Context, blob cas.Blob, v view) error {
	req := c.Request()
	if a := aboutOf(c); a.digest.IsZero() { // of a text it is what the text is of
		a.digest = blob.Digest
	}
	etag := etagOf(blob.Digest)
	h := exchangeOf(c).Header()
	if match := req.Header.Get("If-Match"); match != "" && !matchesETag(match, etag, false) {
		return problem.New(problem.PreconditionFailed, "The blob's entity tag is not among those of If-Match.")
	}
	fields := blobFields(blob, etag, v)
	h[echo.HeaderContentType] = []string{blob.MediaType}
	if noneMatch := req.Header["If-None-Match"]; noneMatch != nil && matchesAny(noneMatch, etag) {
		fields.addTo(h)
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
		fields.addTo(h)
		h[echo.HeaderContentLength] = []string{strconv.FormatInt(blob.Size, 10)}
		c.Response().WriteHeader(http.StatusOK)
		return nil
	}
	content, err := g.store.Open(req.Context(), blob, part.Offset, part.Length)
	if err != nil {
		return notFoundDetail(err, blob.Digest)
	}
	defer content.Close()
	h[echo.HeaderContentLength] = []string{strconv.FormatInt(content.Length, 10)}
	status := http.StatusOK
	if partial {
		status = http.StatusPartialContent
		h.Set("Content-Range", part.contentRange(blob.Size))
	}
	if conn := connOf(req.Context()); conn != nil && len(content.Bytes) > 0 && fields.isSafe() {
		conn.expectBody(len(content.Bytes), fields)
	} else {
		fields.addTo(h)
	}
	return g.send(c, status, content)
}

// notFoundDetail names the blob by its whole digest, which the layers below shorten.
func notFoundDetail(err error, d cas.Digest) error {
	if errors.Is(err, cas.ErrBlobNotFound) {
		return fmt.Errorf("%w: %s", cas.ErrBlobNotFound, d)
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

// headerField is a header's canonical name and its value.
type headerField struct{ name, value string }

// blobHeader is the fields that describe a blob, alike for 200, 206 and 304, but
// for its Content-Type, of which net/http wants to know.
type blobHeader []headerField

func blobFields(blob cas.Blob, etag string, v view) blobHeader {
	header := blobHeader{
		{"Etag", etag},
		{headerReprDigest, formatDigestField(blob.Digest)},
		{"Accept-Ranges", "bytes"},
		{echo.HeaderCacheControl, v.caching},
		{echo.HeaderXContentTypeOptions, "nosniff"},
		{echo.HeaderContentSecurityPolicy, "sandbox; default-src 'none'"},
		{echo.HeaderContentDisposition, contentDisposition(blob, v.download)},
		{"Content-Location", v.location},
	}
	return slices.DeleteFunc(header, func(f headerField) bool { return f.value == "" })
}

func (b blobHeader) addTo(h http.Header) {
	for _, f := range b {
		h[f.name] = []string{f.value}
	}
}

// isSafe reports whether no value could end its line, which net/http prevents
// where it writes the header itself.
func (b blobHeader) isSafe() bool {
	for _, f := range b {
		if strings.ContainsAny(f.value, "\r\n") {
			return false
		}
	}
	return true
}

// sendBuffers are for contents that the kernel can't send by itself.
var sendBuffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// send answers with the content's bytes. What fails before the first of them
// still gets its problem; any error after that aborts the connection, so that no
// client takes what came for the whole.
func (g *Gateway) send(c echo.Context, status int, content *cas.Content) error {
	response := c.Response()
	if content.Body == nil {
		response.WriteHeader(status)
		_, err := response.Write(content.Bytes)
		return err
	}
	x := exchangeOf(c)
	var sent int64
	var err error
	if file, ok := content.Body.(*os.File); ok {
		response.WriteHeader(status)
		// Only net/http's own writer hands files to the kernel.
		sent, err = io.CopyN(x.Unwrap(), file, content.Length)
	} else {
		buffer := sendBuffers.Get().(*[256 << 10]byte)
		defer sendBuffers.Put(buffer)
		first := buffer[:min(content.Length, int64(len(buffer)))]
		if _, err := io.ReadFull(content.Body, first); err != nil {
			return unexpectedEnd(err)
		}
		response.WriteHeader(status)
		var n int
		if n, err = x.Write(first); err == nil {
			sent, err = io.CopyBuffer(struct{ io.Writer }{x}, content.Body, buffer[:])
		}
		sent += int64(n)
	}
	x.sent += sent
	if err == nil && sent != content.Length {
		err = unexpectedEnd(io.ErrUnexpectedEOF)
	}
	return err
}

// unexpectedEnd says what it means that an object has fewer bytes than it had
// when it was opened.
func unexpectedEnd(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ended early", cas.ErrObjectCorrupt)
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
