package gateway

import (
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

// putBlob answers PUT /v1/blobs/{digest}.
func (g *Gateway) putBlob(c echo.Context) error {
	d, err := digestParam(c)
	if err != nil {
		return err
	}
	asked, err := g.askedProviders(c)
	if err != nil {
		return err
	}
	upload, err := g.rawUpload(c)
	if err != nil {
		return err
	}
	if !upload.Digest.IsZero() && upload.Digest != d {
		return fmt.Errorf("%w: the digest field names %s, and the path %s", cas.ErrDigestMismatch, upload.Digest, d)
	}
	upload.Digest = d
	return g.takeIn(c, upload, asked)
}

// postBlob answers POST /v1/blobs.
func (g *Gateway) postBlob(c echo.Context) error {
	asked, err := g.askedProviders(c)
	if err != nil {
		return err
	}
	mediaType, params, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err == nil && mediaType == echo.MIMEMultipartForm {
		return g.postForm(c, params["boundary"], asked)
	}
	upload, err := g.rawUpload(c)
	if err != nil {
		return err
	}
	return g.takeIn(c, upload, asked)
}

// rawUpload describes a request whose body is the blob.
func (g *Gateway) rawUpload(c echo.Context) (cas.Upload, error) {
	req := c.Request()
	if err := checkBody(req, g.store.MaxBlobSize()); err != nil {
		return cas.Upload{}, err
	}
	mediaType, err := declaredMediaType(req.Header.Get(echo.HeaderContentType))
	if err != nil {
		return cas.Upload{}, err
	}
	if strings.HasPrefix(mediaType, "multipart/") {
		return cas.Upload{}, badRequest("a multipart body is taken by POST /v1/blobs as multipart/form-data, with one file part")
	}
	name, err := cleanName(c.QueryParam("name"))
	if err != nil {
		return cas.Upload{}, err
	}
	digest, err := requestDigest(req.Header)
	if err != nil {
		return cas.Upload{}, err
	}
	return cas.Upload{
		Body:      g.uploadBody(c),
		Size:      req.ContentLength,
		Digest:    digest,
		MediaType: mediaType,
		Name:      name,
	}, nil
}

// uploadBody returns the request's body, cut off where it comes in too slowly.
func (g *Gateway) uploadBody(c echo.Context) *uploadBody {
	body := newUploadBody(c.Response(), c.Request(), g.o.MinBodyRate, g.o.BodyWindow)
	exchangeOf(c).body = body
	return body
}

// checkBody refuses, before it is read, a body that can't be right, such as one of
// more than most bytes.
func checkBody(req *http.Request, most int64) error {
	switch {
	case req.ContentLength > most:
		return fmt.Errorf("%w: it has %d bytes, and at most %d are taken", cas.ErrBlobTooLarge, req.ContentLength, most)
	case req.ContentLength == 0 && req.Header.Get(echo.HeaderContentLength) == "" && req.ProtoMajor == 1 && len(req.TransferEncoding) == 0:
		return problem.New(problem.LengthRequired, "The request has no body. Send Content-Length (0 for the empty blob) or a chunked body.")
	case req.Header.Get("Content-Range") != "":
		return badRequest("Content-Range: a blob is taken whole or not at all")
	}
	if coding := req.Header.Get(echo.HeaderContentEncoding); coding != "" && !strings.EqualFold(coding, "identity") {
		return problem.New(problem.UnsupportedMedia, "Content-Encoding is not supported: send the blob's own bytes.")
	}
	return nil
}

// takeIn stores an upload, asks for the copies it wants, and answers.
func (g *Gateway) takeIn(c echo.Context, upload cas.Upload, asked []string) error {
	blob, stored, err := g.storeUpload(c, upload)
	if err != nil {
		return err
	}
	return g.answerUpload(c, blob, stored, g.askCopies(c, blob.Digest, upload.Name, asked))
}

// storeUpload stores an upload. If the blob exists already, the body is read and
// verified all the same, which also keeps the connection usable. A client that waits
// for 100-continue has sent no body yet, and is not asked for one, unless the body is
// a form, whose first part was read.
func (g *Gateway) storeUpload(c echo.Context, upload cas.Upload) (blob cas.Blob, stored bool, err error) {
	defer exchangeOf(c).body.stop()
	put := g.store.PutVerified
	if _, isForm := upload.Body.(*form); !isForm && strings.EqualFold(c.Request().Header.Get("Expect"), "100-continue") {
		put = g.store.Put
	}
	blob, stored, err = put(c.Request().Context(), upload)
	aboutOf(c).digest = blob.Digest
	return blob, stored, err
}

// answerUpload answers 201 where the upload brought the bytes, else 200.
func (g *Gateway) answerUpload(c echo.Context, blob cas.Blob, stored bool, copies []api.AskedCopy) error {
	h := c.Response().Header()
	h.Set(echo.HeaderLocation, g.hashURL(blob.Digest))
	h["Etag"] = []string{etagOf(blob.Digest)}
	h[headerReprDigest] = []string{formatDigestField(blob.Digest)}
	answer := g.apiBlob(blob)
	deduplicated := !stored
	answer.Deduplicated = &deduplicated
	answer.Asked = copies
	if stored {
		return noStore(c, http.StatusCreated, answer)
	}
	return noStore(c, http.StatusOK, answer)
}

// postForm takes the one file part of a multipart/form-data body.
func (g *Gateway) postForm(c echo.Context, boundary string, asked []string) error {
	form, err := g.openForm(c, boundary, nil)
	if err != nil {
		return err
	}
	name, err := cleanName(form.part.FileName())
	if given := c.QueryParam("name"); given != "" {
		name, err = cleanName(given)
	}
	if err != nil {
		return err
	}
	upload, err := form.upload(c.Request())
	if err != nil {
		return err
	}
	upload.Name = name
	return g.takeIn(c, upload, asked)
}
