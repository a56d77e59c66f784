package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
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
	h := exchangeOf(c).Header()
	if match := req.Header.Get("If-Match"); match != "" && !matchesETag(match, etag, false) {
		return &requestError{api.CodePreconditionFailed, "The blob's entity tag is not among those of If-Match."}
	}
	fields := g.blobHeader(blob, etag, download)
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
		return notFoundDetail(err, d)
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

func (g *Gateway) blobHeader(blob cas.Blob, etag, download string) blobHeader {
	caching := "private, max-age=31536000, immutable"
	if g.o.PublicRead {
		caching = "public, max-age=31536000, immutable"
	}
	header := blobHeader{
		{"Etag", etag},
		{headerReprDigest, formatDigestField(blob.Digest)},
		{"Accept-Ranges", "bytes"},
		{echo.HeaderCacheControl, caching},
		{echo.HeaderXContentTypeOptions, "nosniff"},
		{echo.HeaderContentSecurityPolicy, "sandbox; default-src 'none'"},
		{echo.HeaderContentDisposition, contentDisposition(blob, download)},
	}
	if last := len(header) - 1; header[last].value == "" {
		return header[:last]
	}
	return header
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
