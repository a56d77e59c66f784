package gateway

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

func filePath(id string) string { return filesPath + "/" + url.PathEscape(id) }

// postFile answers POST /v1/files.
func (g *Gateway) postFile(c echo.Context) error {
	mediaType, params, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil || mediaType != echo.MIMEMultipartForm {
		return badRequest("send multipart/form-data with a part file, which has a filename, and a field purpose")
	}
	fields, err := g.newFileFields(c)
	if err != nil {
		return err
	}
	form, err := g.openForm(c, params["boundary"], fields.take)
	if err != nil {
		return err
	}
	if err := fields.setName(form.part.FileName()); err != nil {
		return err
	}
	form.last = fields.finish
	upload, err := form.upload(c.Request())
	if err != nil {
		return err
	}
	upload.Name = fields.file.Name
	defer exchangeOf(c).body.stop()
	file, _, err := g.files.Create(c.Request().Context(), upload, func() cas.NewFile { return fields.newFile(upload.MediaType) })
	aboutOf(c).digest = file.Digest
	switch {
	case errors.Is(err, cas.ErrDuplicateFile):
		return &duplicateError{file}
	case err != nil:
		return err
	}
	aboutOf(c).fileID = file.ID
	answer := g.apiFile(file)
	answer.Asked = g.askCopies(c, file.Digest, copyName(file), fields.providers)
	c.Response().Header().Set(echo.HeaderLocation, g.o.PublicURL+filePath(file.ID))
	return noStore(c, http.StatusOK, answer)
}

// getFile answers GET /v1/files/{id}.
func (g *Gateway) getFile(c echo.Context) error {
	id, err := textParam(c, "file")
	if err != nil {
		return err
	}
	file, err := g.files.File(c.Request().Context(), id)
	if err != nil {
		return fileNotFound(err, id)
	}
	return noStore(c, http.StatusOK, g.apiFile(file))
}

// deleteFile answers DELETE /v1/files/{id}.
func (g *Gateway) deleteFile(c echo.Context) error {
	id, err := textParam(c, "file")
	if err != nil {
		return err
	}
	everywhere, err := boolParam(c, "everywhere")
	if err != nil {
		return problem.WithParam("everywhere", err)
	}
	if everywhere {
		return g.deleteFileEverywhere(c, id)
	}
	deleted, err := g.files.DeleteFile(c.Request().Context(), id)
	if err != nil {
		return fileNotFound(err, id)
	}
	aboutOf(c).digest = deleted.Digest
	return noStore(c, http.StatusOK, api.FileDeleted{ID: id, Object: api.ObjectFile, Deleted: true})
}

// getFileContent answers GET and HEAD of /v1/files/{id}/content.
func (g *Gateway) getFileContent(c echo.Context) error {
	file, blob, err := g.fileBytes(c)
	if err != nil {
		return err
	}
	blob.Name, blob.MediaType = file.Name, file.MediaType
	return g.serveBlob(c, blob, view{
		caching:  "private, no-cache", // the file may be deleted, or expire
		location: g.hashURL(blob.Digest),
	})
}

// fileBytes returns the file of a path with its blob, and first takes in the bytes
// of one that was imported.
func (g *Gateway) fileBytes(c echo.Context) (cas.File, cas.Blob, error) {
	id, err := textParam(c, "file")
	if err != nil {
		return cas.File{}, cas.Blob{}, err
	}
	wait := g.waitingLong(c.Request())
	defer wait.end()
	file, blob, err := g.files.Bytes(wait, id)
	switch {
	case err == nil:
		return file, blob, nil
	case hasRunOut(wait, c) && errors.Is(err, context.Cause(wait)):
		err = problem.New(problem.OriginUnavailable, "The bytes of this imported file are being taken in, which goes on; ask again shortly.")
	case errors.Is(err, cas.ErrBlobNotFound):
		err = problem.New(problem.BlobNotFound, "The bytes of this file were deleted. Uploading the same bytes again brings them back.")
	case errors.Is(err, cas.ErrDigestMismatch) && !errors.Is(err, cas.ErrObjectCorrupt):
		// It is not this request's bytes that are wrong.
		err = problem.New(problem.ObjectCorrupt, "The bytes of this imported file are not those that were noted of it, and were not taken in.")
	case errors.Is(err, cas.ErrBlobTooLarge):
		err = problem.New(problem.ObjectCorrupt, "The bytes of this imported file are more than are taken.")
	}
	return cas.File{}, cas.Blob{}, fileNotFound(err, id)
}

// apiFile shapes a file.
func (g *Gateway) apiFile(f cas.File) api.File {
	file := api.File{
		ID:        f.ID,
		Object:    api.ObjectFile,
		Bytes:     max(0, f.Size),
		CreatedAt: f.CreatedAt.Unix(),
		Filename:  f.Name,
		Purpose:   f.Purpose,
		Status:    api.FileProcessed,
		MediaType: f.MediaType,
		Context:   f.Context,
		Tags:      f.Tags,
		Metadata:  f.Metadata,
	}
	if !f.IsPending() {
		sum := hex.EncodeToString(f.Digest[:])
		file.SHA256, file.URL = &sum, g.hashURL(f.Digest)
	} else if f.Origin != nil && f.Origin.Error != "" {
		file.Status, file.StatusDetails = api.FileFailed, f.Origin.Error
	}
	if !f.ExpiresAt.IsZero() {
		file.ExpiresAt = f.ExpiresAt.Unix()
	}
	if !f.AccessedAt.IsZero() {
		file.LastAccessedAt = f.AccessedAt.Unix()
	}
	if file.Tags == nil {
		file.Tags = []string{}
	}
	if len(file.Metadata) == 0 {
		file.Metadata = json.RawMessage("{}")
	}
	return file
}

// filesOf returns the first files that refer to a blob, and whether there are
// more.
func (g *Gateway) filesOf(ctx context.Context, d cas.Digest) (files []api.File, more bool, err error) {
	found, err := g.files.ListFiles(ctx, cas.FileQuery{Digest: d, Limit: api.MaxMetaFiles + 1})
	if len(found) > api.MaxMetaFiles {
		found, more = found[:api.MaxMetaFiles], true
	}
	files = make([]api.File, len(found))
	for i, f := range found {
		files[i] = g.apiFile(f)
	}
	return files, more, err
}
