package blobapi

import (
	"cmp"
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
)

// Get answers GET and HEAD of a hash URL: /v1/blobs/{digest}.
func (h *Handlers) Get(c echo.Context) error {
	d, err := request.Digest(c)
	if err != nil {
		return err
	}
	download := ""
	if request.HasQuery(c) {
		if download, err = request.CleanName(c.QueryParam("download")); err != nil {
			return err
		}
	}
	blob, err := h.Store.Blob(c.Request().Context(), d)
	if err != nil {
		return problem.WithBlob(err, d)
	}
	state := request.StateOf(c)
	blob.Name, blob.MediaType = cmp.Or(state.ShownName, blob.Name), cmp.Or(state.ShownType, blob.MediaType)
	return respond.Blob(c, h.Store, blob, respond.BlobOptions{CacheControl: h.CacheControl, Download: download, Redirect: h.Redirect})
}

// Meta answers GET /v1/blobs/{digest}/meta.
func (h *Handlers) Meta(c echo.Context) error {
	d, err := request.Digest(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	b, err := h.Store.Blob(ctx, d)
	if err != nil {
		return problem.WithBlob(err, d)
	}
	copies, err := h.Copies.Copies(ctx, d)
	if err != nil {
		return err
	}
	files, more, err := h.filesOf(ctx, d)
	if err != nil {
		return err
	}
	return respond.JSON(c, http.StatusOK, api.BlobMeta{Blob: view.Blob(b, h.URLs), State: b.State, Files: files, MoreFiles: more, Copies: view.Copies(copies)})
}

// filesOf returns the first files that refer to a blob, and whether there are more.
func (h *Handlers) filesOf(ctx context.Context, d cas.Digest) (files []api.File, more bool, err error) {
	found, err := h.Files.ListFiles(ctx, cas.FileQuery{Digest: d, Limit: api.MaxMetaFiles + 1})
	if len(found) > api.MaxMetaFiles {
		found, more = found[:api.MaxMetaFiles], true
	}
	files = make([]api.File, len(found))
	for i, f := range found {
		files[i] = view.File(f, h.URLs)
	}
	return files, more, err
}
