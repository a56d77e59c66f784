// Package fileapi answers the requests about files but for deletes, in the shape of
// OpenAI's API.
package fileapi

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/blobtarget"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
)

// Files keeps files.
type Files interface {
	File(ctx context.Context, id string) (cas.File, error)
	// FilePosition returns the place of a file in listings, also if it was deleted lately.
	FilePosition(ctx context.Context, id string) (cas.FileCursor, error)
	ListFiles(ctx context.Context, q cas.FileQuery) ([]cas.File, error)
	Create(ctx context.Context, u cas.Upload, describe func() cas.NewFile) (file cas.File, stored bool, err error)
	CreateFromBlob(ctx context.Context, d cas.Digest, n cas.NewFile) (cas.File, error)
}

// UploadCopies begins the copies that uploads ask for.
type UploadCopies interface {
	Parse(lists ...string) ([]string, error)
	Begin(c echo.Context, of blobtarget.Target, at []string) []api.AskedCopy
}

// Authorizer checks scopes.
type Authorizer interface {
	Require(c echo.Context, scope access.Scope) error
}

// Handlers answers requests about files.
type Handlers struct {
	Store        respond.Opener
	Files        Files
	UploadCopies UploadCopies
	Authorizer   Authorizer
	Targets      blobtarget.Finder
	Uploads      request.Uploads
	URLs         view.URLs
}

// Get answers GET /v1/files/{id}.
func (h *Handlers) Get(c echo.Context) error {
	id, err := request.PathParam(c, "file")
	if err != nil {
		return err
	}
	file, err := h.Files.File(c.Request().Context(), id)
	if err != nil {
		return problem.WithFile(err, id)
	}
	return respond.JSON(c, http.StatusOK, view.File(file, h.URLs))
}

// Content answers GET and HEAD of /v1/files/{id}/content.
func (h *Handlers) Content(c echo.Context) error {
	file, blob, err := h.Targets.FileBytes(c)
	if err != nil {
		return err
	}
	blob.Name, blob.MediaType = file.Name, file.MediaType
	return respond.Blob(c, h.Store, blob, respond.BlobOptions{
		CacheControl: "private, no-cache, no-transform", // the file may be deleted, or expire
		Location:     h.URLs.Blob(blob.Digest),
	})
}
