package fileapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/blobtarget"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
)

// Create answers POST /v1/files.
func (h *Handlers) Create(c echo.Context) error {
	if boundary, isForm := request.IsForm(c.Request()); isForm {
		return h.createFromForm(c, boundary)
	}
	if request.IsJSON(c.Request()) {
		return h.createFromBlob(c)
	}
	return problem.BadRequest("send multipart/form-data with a part file, which has a filename, and a field purpose; or application/json with the digest of a blob that is here")
}

// createFromForm stores the file in the form.
func (h *Handlers) createFromForm(c echo.Context, boundary string) error {
	fields, err := h.newFields(c)
	if err != nil {
		return err
	}
	key, err := request.ReadIdempotencyKey(c)
	if err != nil {
		return err
	}
	form, err := request.OpenForm(c, boundary, request.FormOptions{Uploads: h.Uploads, Field: fields.read, End: fields.checkComplete})
	if err != nil {
		return err
	}
	if err := fields.setName(form.FileName()); err != nil {
		return err
	}
	upload, err := form.Upload(c.Request())
	if err != nil {
		return err
	}
	upload.Name = fields.file.Name
	defer request.StopBody(c)
	var file cas.File
	err = h.Files.Keyed(c.Request().Context(), key.Alone(), upload, func(u cas.Upload) (err error) { // fields may come after the bytes
		file, _, err = h.Files.Create(c.Request().Context(), u, func() cas.NewFile { return fields.newFile(upload.MediaType, key) })
		return err
	})
	answer, err := h.created(c, file, fields.copiesAt, err)
	if err != nil {
		return err
	}
	return respond.OwnJSON(c, http.StatusOK, answer)
}

// created records the result of an attempt to create a file, and begins the copies that
// the request asks for.
func (h *Handlers) created(c echo.Context, file cas.File, copiesAt []string, err error) (api.File, error) {
	record := &request.StateOf(c).Record
	if file.ID != "" {
		record.Digest = file.Digest
	}
	switch {
	case errors.Is(err, cas.ErrDuplicateFile):
		return api.File{}, &respond.DuplicateFileError{File: file}
	case errors.Is(err, cas.ErrFileNotFound):
		return api.File{}, fmt.Errorf("%w: an upload with this %s created the file, and it was deleted or has expired; send another key to upload again", cas.ErrFileNotFound, request.HeaderIdempotencyKey)
	case err != nil:
		return api.File{}, err
	}
	record.FileID = file.ID
	answer := view.File(file, h.URLs)
	answer.Asked = h.UploadCopies.Begin(c, blobtarget.OfFile(file, file.Digest), copiesAt)
	c.Response().Header().Set(echo.HeaderLocation, h.URLs.File(file.ID))
	return answer, nil
}
