package request

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
	// maxPartHeader bounds the bytes between the contents of two parts of a form: a
	// delimiter, and the header of the next part. (mime/multipart itself would keep ten
	// megabytes of it.)
	maxPartHeader = 64 << 10
	// maxFormFields and maxFormParts bound the fields beside the file, all together.
	maxFormFields = 1 << 20 // bytes
	maxFormParts  = 1000
)

// FormOptions says how to read a form.
type FormOptions struct {
	Uploads
	// Field gets each plain field, and reads as much of it as it wants. Nil: fields are
	// skipped.
	Field func(*multipart.Part) error
	// End is called when the form has ended well. An error from it makes the upload
	// fail. Optional.
	End func() error
}

// Form reads the one file part of a multipart/form-data body as the body of an
// upload. Its Read returns io.EOF only if the form ends well, without another file
// part. So a wrong field behind the file prevents the upload too.
type Form struct {
	o      FormOptions
	source *boundedReader
	reader *multipart.Reader
	part   *multipart.Part
	sticky error // what every further Read returns
	parts  int
	fields int64 // bytes
}

// IsForm reports whether the body of a request is a form, and returns its boundary.
func IsForm(r *http.Request) (boundary string, ok bool) {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	if err != nil {
		return unquotedBoundary(r.Header.Get(echo.HeaderContentType))
	}
	return params["boundary"], err == nil && mediaType == echo.MIMEMultipartForm
}

// OpenForm reads the form of a request up to the bytes of its file.
func OpenForm(c echo.Context, boundary string, o FormOptions) (*Form, error) {
	if err := checkBody(c.Request(), o.MaxSize+maxFormFields+maxPartHeader); err != nil {
		return nil, err
	}
	if boundary == "" {
		return nil, problem.BadRequest("the multipart Content-Type has no boundary")
	}
	body, err := formBody(c, o.Rate)
	if err != nil {
		return nil, err
	}
	source := &boundedReader{src: body}
	f := &Form{o: o, source: source, reader: multipart.NewReader(source, boundary)}
	for {
		part, err := f.next()
		if err == io.EOF {
			return nil, problem.WithParam("file", problem.BadRequest("the form has no file part (a part with a filename)"))
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

// formBody returns the body of a form. If the request has a Content-Digest the body is
// verified against it: that field is about the content of the message, so about the
// whole form.
func formBody(c echo.Context, rate MinRate) (io.Reader, error) {
	req := c.Request()
	body := verifyTrailer(req, rate.Body(c))
	digest, err := fieldDigest(req.Header, HeaderContentDigest)
	switch {
	case err != nil:
		return nil, err
	case digest == nil:
		return body, nil
	case req.ContentLength < 0:
		return nil, problem.BadRequest("the " + HeaderContentDigest + " of a form needs a Content-Length beside it")
	}
	return verifiedForm{cas.NewVerifyingReader(body, *digest, req.ContentLength)}, nil
}

// verifiedForm names the field that the bytes of a form contradict.
type verifiedForm struct{ *cas.VerifyingReader }

var errFormDigest = fmt.Errorf("%w: the bytes of the whole form have another digest than its %s declares", cas.ErrDigestMismatch, HeaderContentDigest)

// Read implements io.Reader.
func (v verifiedForm) Read(p []byte) (int, error) {
	n, err := v.VerifyingReader.Read(p)
	if errors.Is(err, cas.ErrDigestMismatch) {
		err = errFormDigest
	}
	return n, err
}

// FileName returns the filename of the form's file, as the client sent it.
func (f *Form) FileName() string { return fileName(f.part) }

// Upload describes the form's file; the caller gives it its name.
func (f *Form) Upload(r *http.Request) (cas.Upload, error) {
	mediaType := cas.NormalMediaType(f.part.Header.Get(echo.HeaderContentType))
	digest, err := fileDigest(r.Header, http.Header(f.part.Header))
	if err != nil {
		return cas.Upload{}, err
	}
	return cas.Upload{Body: f, Size: -1, Digest: digest, MediaType: mediaType}, nil
}

// fileDigest returns the digest declared for a form's file: by the part's own
// fields, or by the request's Repr-Digest.
func fileDigest(request, part http.Header) (*cas.Digest, error) {
	digest, err := declaredDigest(part)
	if err != nil || digest != nil {
		return digest, err
	}
	return fieldDigest(request, HeaderReprDigest)
}

// next returns the next part, or io.EOF at the end of the form. The part before has
// been read to its end.
func (f *Form) next() (*multipart.Part, error) {
	f.source.limit(maxPartHeader)
	defer f.source.unlimit()
	part, err := f.reader.NextRawPart()
	if err != nil && err != io.EOF {
		return nil, formError(err)
	}
	if f.parts++; f.parts > maxFormParts {
		return nil, problem.BadRequest(fmt.Sprintf("the form has more than %d parts", maxFormParts))
	}
	if err == nil {
		if err := checkPart(part); err != nil {
			return nil, err
		}
	}
	return part, err
}

// take gives a plain field to its reader, and reads the rest of it.
func (f *Form) take(part *multipart.Part) error {
	if f.o.Field != nil {
		if err := f.o.Field(part); err != nil {
			return err
		}
	}
	n, err := io.Copy(io.Discard, io.LimitReader(part, maxFormFields-f.fields+1))
	if err != nil {
		return formError(err)
	}
	if f.fields += n; f.fields > maxFormFields {
		return problem.BadRequest(fmt.Sprintf("the fields beside the file have more than %d bytes", maxFormFields))
	}
	return nil
}

// FormField reads the value of a field, of at most maxBytes.
func FormField(part *multipart.Part, maxBytes int) (string, error) {
	value, err := io.ReadAll(io.LimitReader(part, int64(maxBytes)+1))
	if err != nil {
		return "", formError(err)
	}
	if name := part.FormName(); len(value) > maxBytes {
		return "", problem.WithParam(name, problem.BadRequest(fmt.Sprintf("%s has more than %d bytes", name, maxBytes)))
	}
	return string(value), nil
}

// Read implements io.Reader: it yields the file.
func (f *Form) Read(p []byte) (int, error) {
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

// end reads the parts behind the file, and returns io.EOF if they are right.
func (f *Form) end() error {
	for {
		part, err := f.next()
		switch {
		case err == io.EOF:
			if err := f.readRest(); err != nil {
				return err
			}
			if f.o.End != nil {
				if err := f.o.End(); err != nil {
					return err
				}
			}
			return io.EOF
		case err != nil:
			return err
		case isFilePart(part):
			return problem.WithParam("file", problem.BadRequest("the form has more than one file part; upload one file a request"))
		}
		if err := f.take(part); err != nil {
			return err
		}
	}
}

// readRest reads what follows the last boundary. The body's digest is verified, and its
// trailer arrives, at its end.
func (f *Form) readRest() error {
	n, err := io.Copy(io.Discard, io.LimitReader(f.source, maxFormFields+1))
	if err != nil {
		return formError(err)
	}
	if n > maxFormFields {
		return problem.BadRequest(fmt.Sprintf("more than %d bytes follow the last boundary of the form", maxFormFields))
	}
	return nil
}

// formError tells a malformed form from a body that broke off.
func formError(err error) error {
	switch {
	case errors.Is(err, errFormDigest):
		return errFormDigest // without what mime/multipart has put before it
	case errors.Is(err, cas.ErrBodyRead), errors.Is(err, cas.ErrDigestMismatch):
		return err
	case errors.Is(err, errPartHeader):
		return problem.BadRequest(err.Error())
	}
	return problem.BadRequest(fmt.Sprintf("the multipart body is malformed or incomplete: %v", err))
}

var errPartHeader = fmt.Errorf("the header of a part has more than %d bytes", maxPartHeader)

// boundedReader is a form's body; while a limit is set, no more than that is read.
type boundedReader struct {
	src     io.Reader
	limited bool
	left    int
}

func (s *boundedReader) limit(n int) { s.limited, s.left = true, n }
func (s *boundedReader) unlimit()    { s.limited = false }

func (s *boundedReader) Read(p []byte) (int, error) {
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
