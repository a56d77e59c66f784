package gateway

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/problem"
)

const (
	// maxPartHeader bounds what lies between the contents of a form's parts: a
	// delimiter, and the next part's header. (mime/multipart itself would keep ten
	// megabytes of it.)
	maxPartHeader = 64 << 10
	// maxFormFields and maxFormParts bound what there is in a form beside its file, all
	// together.
	maxFormFields = 1 << 20 // bytes
	maxFormParts  = 1000
)

// formField is told of each plain field of a form, and reads what it wants of it.
type formField func(*multipart.Part) error

// form reads the one file part of a multipart/form-data body as the body of an
// upload, and ends well only where the form does, without another file part. What
// is wrong with the fields behind the file so prevents the upload too.
type form struct {
	source *formSource
	reader *multipart.Reader
	field  formField    // nil: fields are passed over
	last   func() error // told that the form has ended well; may be nil
	part   *multipart.Part
	sticky error // what every further Read returns
	parts  int
	fields int64 // bytes
}

// openForm reads a request's form up to the bytes of its file.
func (g *Gateway) openForm(c echo.Context, boundary string, field formField) (*form, error) {
	if err := checkBody(c.Request(), g.store.MaxBlobSize()+maxFormFields+maxPartHeader); err != nil {
		return nil, err
	}
	if boundary == "" {
		return nil, badRequest("the multipart Content-Type has no boundary")
	}
	body, err := g.formBody(c)
	if err != nil {
		return nil, err
	}
	source := &formSource{src: body}
	f := &form{source: source, reader: multipart.NewReader(source, boundary), field: field}
	for {
		part, err := f.next()
		if err == io.EOF {
			return nil, problem.WithParam("file", badRequest("the form has no file part (a part with a filename)"))
		}
		if err != nil {
			return nil, err
		}
		if isFilePart(part) {
			f.part = part
			return f, nil
		}
		if err := f.take(part); err != nil {
			return nil, err
		}
	}
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

// upload describes the form's file, but for its name.
func (f *form) upload(req *http.Request) (cas.Upload, error) {
	mediaType, err := declaredMediaType(f.part.Header.Get(echo.HeaderContentType))
	if err != nil {
		return cas.Upload{}, err
	}
	digest, err := fileDigest(req.Header, http.Header(f.part.Header))
	if err != nil {
		return cas.Upload{}, err
	}
	return cas.Upload{Body: f, Size: -1, Digest: digest, MediaType: mediaType}, nil
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

// next returns the next part, or io.EOF where the form has ended. The part before
// has been read to its end.
func (f *form) next() (*multipart.Part, error) {
	f.source.limit(maxPartHeader)
	defer f.source.unlimit()
	part, err := f.reader.NextRawPart()
	if err != nil && err != io.EOF {
		return nil, formError(err)
	}
	if f.parts++; f.parts > maxFormParts {
		return nil, badRequest(fmt.Sprintf("the form has more than %d parts", maxFormParts))
	}
	return part, err
}

// take hands on a plain field, and reads what is left of it.
func (f *form) take(part *multipart.Part) error {
	if f.field != nil {
		if err := f.field(part); err != nil {
			return err
		}
	}
	n, err := io.Copy(io.Discard, io.LimitReader(part, maxFormFields-f.fields+1))
	if err != nil {
		return formError(err)
	}
	if f.fields += n; f.fields > maxFormFields {
		return badRequest(fmt.Sprintf("the fields beside the file have more than %d bytes", maxFormFields))
	}
	return nil
}

func isFilePart(part *multipart.Part) bool {
	_, params, err := mime.ParseMediaType(part.Header.Get(echo.HeaderContentDisposition))
	_, has := params["filename"]
	return err == nil && has
}

// Read implements io.Reader: it yields the file.
func (f *form) Read(p []byte) (int, error) {
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
func (f *form) end() error {
	for {
		part, err := f.next()
		switch {
		case err == io.EOF && f.last != nil:
			if err := f.last(); err != nil {
				return err
			}
			return io.EOF
		case err != nil:
			return err
		case isFilePart(part):
			return problem.WithParam("file", badRequest("the form has more than one file part; upload one file a request"))
		}
		if err := f.take(part); err != nil {
			return err
		}
	}
}

// formError tells a form that is broken from a body that broke off.
func formError(err error) error {
	switch {
	case errors.Is(err, cas.ErrBodyRead), errors.Is(err, cas.ErrDigestMismatch):
		return err
	case errors.Is(err, errPartHeader):
		return badRequest(err.Error())
	}
	return badRequest(fmt.Sprintf("the multipart body is malformed or incomplete: %v", err))
}

var errPartHeader = fmt.Errorf("the header of a part has more than %d bytes", maxPartHeader)

// formSource is a form's body, of which no more than a bound is read at times.
type formSource struct {
	src     io.Reader
	limited bool
	left    int
}

func (s *formSource) limit(n int) { s.limited, s.left = true, n }
func (s *formSource) unlimit()    { s.limited = false }

func (s *formSource) Read(p []byte) (int, error) {
	if !s.limited {
		return s.src.Read(p)
	}
	if s.left == 0 {
		return 0, errPartHeader
	}
	n, err := s.src.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}
