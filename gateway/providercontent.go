package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/providers"
)

// getCopyContent answers GET /v1/blobs/{digest}/copies/{provider}/content and the
// same of a file: with what the provider itself gives back, which is verified by
// nobody and kept by nobody.
func (g *Gateway) getCopyContent(c echo.Context) error {
	of, err := g.subjectOf(c)
	if err != nil {
		return err
	}
	q, err := copyRequest(c, of)
	if err != nil {
		return err
	}
	row, err := g.knownCopy(c, of, q)
	if err != nil {
		return notFoundDetail(err, q.Digest)
	}
	body, err := g.copies.Download(c.Request().Context(), row)
	if errors.Is(err, providers.ErrNoDownload) {
		return g.withAlternative(c, q, err)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	return sendUnverified(c, body, cas.Blob{MediaType: row.MediaType, Name: row.Name})
}

// withAlternative adds where else the bytes are, or something like them.
func (g *Gateway) withAlternative(c echo.Context, q providers.Request, err error) error {
	text := ""
	for _, p := range g.copies.Accounts() {
		if _, able := providers.Ability[providers.TextExtractor](p); able && p.Describe().Provider == q.Provider {
			text = fmt.Sprintf("; the text that it extracts is at %s/text?provider=%s", blobPath(q.Digest), q.Provider)
		}
	}
	return fmt.Errorf("%w; the gateway's own bytes are at %s%s", err, blobPath(q.Digest), text)
}

// sendUnverified streams what came from elsewhere. As of a blob, what fails before the
// first bytes gets its problem, and what fails later aborts the connection.
func sendUnverified(c echo.Context, body io.Reader, shown cas.Blob) error {
	buffer := sendBuffers.Get().(*[256 << 10]byte)
	defer sendBuffers.Put(buffer)
	n, err := io.ReadAtLeast(body, buffer[:], 1)
	if err != nil && err != io.EOF {
		return err
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, shown.MediaType)
	h.Set(echo.HeaderCacheControl, "no-store")
	h.Set(echo.HeaderXContentTypeOptions, "nosniff")
	h.Set(echo.HeaderContentSecurityPolicy, "sandbox; default-src 'none'")
	h.Set(echo.HeaderContentDisposition, contentDisposition(shown, ""))
	c.Response().WriteHeader(http.StatusOK)
	if _, err := c.Response().Write(buffer[:n]); err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{c.Response()}, struct{ io.Reader }{body}, buffer[:])
	return err
}
