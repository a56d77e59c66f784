package fileapi

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
)

// MakeUploadURL answers POST /v1/upload-urls.
func (h *Handlers) MakeUploadURL(c echo.Context) error {
	var asked api.NewUploadURL
	if err := request.JSON(c, &asked); err != nil {
		return err
	}
	life, err := boundedOr("expires_in", asked.ExpiresIn, request.IntRange{Default: api.DefaultUploadURLLife, Min: 1, Max: api.MaxUploadURLLife})
	if err != nil {
		return err
	}
	most := h.Uploads.MaxSize
	maxBytes, err := boundedOr("max_bytes", asked.MaxBytes, request.IntRange{Default: min(api.DefaultUploadURLBytes, most), Min: 1, Max: most})
	if err != nil {
		return err
	}
	grant := access.UploadGrant{
		Purpose: cmp.Or(asked.Purpose, "user_data"), MaxBytes: maxBytes, Digest: asked.Digest,
		Expires: time.Now().Add(time.Duration(life) * time.Second),
	}
	if grant.Filename, err = request.CleanName(asked.Filename); err != nil {
		return problem.WithParam("filename", err)
	}
	if err := (cas.NewFile{File: cas.File{Name: grant.Filename, Purpose: grant.Purpose}}).Check(); err != nil {
		return err
	}
	if err := h.checkPurpose(grant.Purpose, nil); err != nil {
		return problem.WithParam("purpose", err)
	}
	if len(asked.Providers) > 0 {
		if err := h.Authorizer.Require(c, access.ScopeSync); err != nil {
			return problem.WithParam("providers", err)
		}
		if grant.Providers, err = h.UploadCopies.Parse(asked.Providers...); err != nil {
			return problem.WithParam("providers", err)
		}
	}
	signed, err := h.Authorizer.SignUpload(c, grant)
	if err != nil {
		return err
	}
	return respond.OwnJSON(c, http.StatusOK, signed)
}

// boundedOr returns the number of a field that a request may leave out.
func boundedOr(field string, given *int64, allowed request.IntRange) (int64, error) {
	switch {
	case given == nil:
		return allowed.Default, nil
	case *given < allowed.Min || *given > allowed.Max:
		return 0, problem.WithParam(field, problem.BadRequest(fmt.Sprintf("%s: %d is not between %d and %d", field, *given, allowed.Min, allowed.Max)))
	}
	return *given, nil
}

// errURLUsed refuses a second file of a URL. The code is that of the URL's own key.
var errURLUsed = problem.New(problem.KeyReused, "This URL has uploaded a file of other bytes, or of another media type. The upload was refused. A URL uploads one file: ask for another URL.")

// PutUploadURL answers PUT of an upload URL: it stores the body as the file that the grant
// describes.
func (h *Handlers) PutUploadURL(c echo.Context, grant access.UploadGrant) error {
	uploads := h.Uploads
	uploads.MaxSize = min(uploads.MaxSize, grant.MaxBytes)
	upload, err := uploads.Raw(c)
	if err != nil {
		return err
	}
	if grant.Digest != nil {
		if upload.Digest != nil && *upload.Digest != *grant.Digest {
			return fmt.Errorf("%w: the digest field names %s, and the URL is for %s", cas.ErrDigestMismatch, upload.Digest, grant.Digest)
		}
		upload.Digest = grant.Digest
	}
	upload.Name, upload.Body = grant.Filename, &boundedBody{src: upload.Body, left: uploads.MaxSize}
	defer request.StopBody(c)
	key := request.GrantKey(c, grant.ID).For(askedFile{Kind: "upload URL", MediaType: upload.MediaType})
	var file cas.File
	err = h.Files.Keyed(c.Request().Context(), key, upload, func(u cas.Upload) (err error) {
		file, _, err = h.Files.Create(c.Request().Context(), u, func() cas.NewFile {
			return cas.NewFile{File: cas.File{Name: grant.Filename, Purpose: grant.Purpose, MediaType: upload.MediaType}, Key: key}
		})
		return err
	})
	switch {
	case errors.Is(err, cas.ErrKeyReused):
		return errURLUsed
	case errors.Is(err, cas.ErrFileNotFound):
		return fmt.Errorf("%w: this URL uploaded it, and it was deleted or has expired; ask for another URL", cas.ErrFileNotFound)
	}
	answer, err := h.created(c, file, grant.Providers, err)
	if err != nil {
		return err
	}
	return respond.OwnJSON(c, http.StatusOK, answer)
}

// boundedBody fails after more than so many bytes. A body of unknown length has no other
// bound than the store's.
type boundedBody struct {
	src  io.Reader
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.src.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("%w: it has more bytes than the URL allows", cas.ErrBlobTooLarge)
	}
	return n, err
}
