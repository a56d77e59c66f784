package gateway

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
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
	if err := g.checkBody(req); err != nil {
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

// checkBody refuses, before it is read, a body that can't be right.
func (g *Gateway) checkBody(req *http.Request) error {
	switch {
	case req.ContentLength > g.store.MaxBlobSize():
		return fmt.Errorf("%w: it has %d bytes, and at most %d are taken", cas.ErrBlobTooLarge, req.ContentLength, g.store.MaxBlobSize())
	case req.ContentLength == 0 && req.Header.Get(echo.HeaderContentLength) == "" && req.ProtoMajor == 1 && len(req.TransferEncoding) == 0:
		return &requestError{api.CodeLengthRequired, "The request has no body. Send Content-Length (0 for the empty blob) or a chunked body."}
	case req.Header.Get("Content-Range") != "":
		return badRequest("Content-Range: a blob is taken whole or not at all")
	}
	if coding := req.Header.Get(echo.HeaderContentEncoding); coding != "" && !strings.EqualFold(coding, "identity") {
		return &requestError{api.CodeUnsupportedMedia, "Content-Encoding is not supported: send the blob's own bytes."}
	}
	return nil
}

// takeIn stores an upload, asks for the copies it wants, and answers.
func (g *Gateway) takeIn(c echo.Context, upload cas.Upload, asked []string) error {
	defer exchangeOf(c).body.stop()
	body := &countedReader{src: upload.Body}
	upload.Body = body
	blob, stored, err := g.store.Put(c.Request().Context(), upload)
	if err != nil {
		return err
	}
	if !stored && body.n == 0 {
		if err := drain(c.Request(), body, blob); err != nil {
			return err
		}
	}
	return g.answerUpload(c, blob, stored, g.askCopies(c, blob.Digest, upload.Name, asked))
}

// countedReader counts what was read of an upload.
type countedReader struct {
	src io.Reader
	n   int64
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	r.n += int64(n)
	return n, err
}

// drain reads the body of an upload that wasn't needed, so that the connection
// can go on; and checks it, so that nobody is told that bytes are kept which are
// not. A client that waits for 100-continue has sent nothing, and isn't asked to.
func drain(req *http.Request, body io.Reader, blob cas.Blob) error {
	if strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
		return nil
	}
	_, err := io.Copy(io.Discard, cas.NewVerifyingReader(body, blob.Digest, blob.Size))
	return err
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
	req := c.Request()
	if err := g.checkBody(req); err != nil {
		return err
	}
	if boundary == "" {
		return badRequest("the multipart Content-Type has no boundary")
	}
	body, err := g.formBody(c)
	if err != nil {
		return err
	}
	form := &formFile{reader: multipart.NewReader(body, boundary)}
	part, err := form.open()
	if err != nil {
		return err
	}
	name, err := cleanName(part.FileName())
	if given := c.QueryParam("name"); given != "" {
		name, err = cleanName(given)
	}
	if err != nil {
		return err
	}
	mediaType, err := declaredMediaType(part.Header.Get(echo.HeaderContentType))
	if err != nil {
		return err
	}
	digest, err := fileDigest(req.Header, http.Header(part.Header))
	if err != nil {
		return err
	}
	return g.takeIn(c, cas.Upload{Body: form, Size: -1, Digest: digest, MediaType: mediaType, Name: name}, asked)
}

// formBody returns the body of a form, verified against its Content-Digest where
// it has one: that field is about the message's content, so about the form whole.
func (g *Gateway) formBody(c echo.Context) (io.Reader, error) {
	req := c.Request()
	body := g.uploadBody(c)
	digest, err := fieldDigest(req.Header, headerContentDigest)
	switch {
	case err != nil:
		return nil, err
	case digest.IsZero():
		return body, nil
	case req.ContentLength < 0:
		return nil, badRequest("the " + headerContentDigest + " of a form needs a Content-Length beside it")
	}
	return cas.NewVerifyingReader(body, digest, req.ContentLength), nil
}

// fileDigest returns the digest declared for a form's file: by the part's own
// fields, or by the request's Repr-Digest.
func fileDigest(request, part http.Header) (cas.Digest, error) {
	digest, err := requestDigest(part)
	if err != nil || !digest.IsZero() {
		return digest, err
	}
	return fieldDigest(request, headerReprDigest)
}

// formFile reads the file part of a form, and ends well only where the form does,
// without another file part.
type formFile struct {
	reader *multipart.Reader
	part   *multipart.Part
	sticky error // what every further Read returns
}

// open finds the first file part. Plain fields before it are passed over.
func (f *formFile) open() (*multipart.Part, error) {
	for {
		part, err := f.reader.NextRawPart()
		if err == io.EOF {
			return nil, badRequest("the form has no file part (a part with a filename)")
		}
		if err != nil {
			return nil, formError(err)
		}
		if isFilePart(part) {
			f.part = part
			return part, nil
		}
	}
}

func isFilePart(part *multipart.Part) bool {
	_, params, err := mime.ParseMediaType(part.Header.Get(echo.HeaderContentDisposition))
	_, has := params["filename"]
	return err == nil && has
}

func (f *formFile) Read(p []byte) (int, error) {
	if f.sticky != nil {
		return 0, f.sticky
	}
	n, err := f.part.Read(p)
	if err == io.EOF {
		f.sticky = f.end()
	} else if err != nil {
		f.sticky = formError(err)
	}
	return n, f.sticky
}

// end reads what follows the file part, and returns io.EOF where that is fine.
func (f *formFile) end() error {
	for {
		next, err := f.reader.NextRawPart()
		if err == io.EOF {
			return io.EOF
		}
		if err != nil {
			return formError(err)
		}
		if isFilePart(next) {
			return badRequest("the form has more than one file part; upload one blob a request")
		}
	}
}

// formError tells a form that is broken from a body that broke off.
func formError(err error) error {
	if errors.Is(err, cas.ErrBodyRead) || errors.Is(err, cas.ErrDigestMismatch) {
		return err
	}
	return badRequest(fmt.Sprintf("the multipart body is malformed or incomplete: %v", err))
}
