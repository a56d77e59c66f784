package fileapi

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/blobtarget"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
)

// Create answers POST /v1/files.
func (h *Handlers) Create(c echo.Context) error {
	boundary, isForm := request.IsForm(c.Request())
	if !isForm {
		return problem.BadRequest("send multipart/form-data with a part file, which has a filename, and a field purpose")
	}
	fields, err := h.newFields(c)
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
	file, _, err := h.Files.Create(c.Request().Context(), upload, func() cas.NewFile { return fields.newFile(upload.MediaType) })
	record := &request.StateOf(c).Record
	record.Digest = file.Digest
	switch {
	case errors.Is(err, cas.ErrDuplicateFile):
		return &respond.DuplicateFileError{File: file}
	case err != nil:
		return err
	}
	record.FileID = file.ID
	answer := view.File(file, h.URLs)
	answer.Asked = h.UploadCopies.Begin(c, blobtarget.OfFile(file, file.Digest), fields.copiesAt)
	c.Response().Header().Set(echo.HeaderLocation, h.URLs.File(file.ID))
	return respond.OwnJSON(c, http.StatusOK, answer)
}
