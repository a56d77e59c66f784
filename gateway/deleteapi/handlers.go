// Package deleteapi answers the requests that delete files and blobs, alone or with
// their copies at providers.
package deleteapi

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/blobtarget"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// Store keeps blobs.
type Store interface {
	Blob(ctx context.Context, d cas.Digest) (cas.Blob, error)
	Confirm(ctx context.Context, d cas.Digest) error
	Delete(ctx context.Context, d cas.Digest, o cas.CondemnOptions) error
}

// Files keeps files.
type Files interface {
	File(ctx context.Context, id string) (cas.File, error)
	ListFiles(ctx context.Context, q cas.FileQuery) ([]cas.File, error)
	DeleteFile(ctx context.Context, id string) (cas.File, error)
	ReleaseFile(ctx context.Context, id string) (released cas.File, condemned bool, err error)
}

// Copies removes copies.
type Copies interface {
	Copies(ctx context.Context, d cas.Digest) ([]ledger.Copy, error)
	RemoveAll(ctx context.Context, q replicator.Request, release func() error) (*replicator.Removal, error)
}

// Texts condemns the texts that were extracted from blobs.
type Texts interface {
	Condemn(ctx context.Context, d cas.Digest) ([]cas.ReleasedText, error)
}

// Handlers answers requests that delete.
type Handlers struct {
	Store   Store
	Files   Files
	Copies  Copies
	Texts   Texts
	Targets blobtarget.Finder
	Waits   request.Waits
	URLs    view.URLs
}

// Blob answers DELETE /v1/blobs/{digest}.
func (h *Handlers) Blob(c echo.Context) error {
	d, err := request.Digest(c)
	if err != nil {
		return err
	}
	if err := request.CheckMatch(c.Request().Header, request.ETag(d)); err != nil {
		return err
	}
	force, err := request.Bool(c, "force")
	if err != nil {
		return err
	}
	everywhere, err := request.Bool(c, "everywhere")
	if err != nil {
		return err
	}
	if everywhere {
		return h.blobEverywhere(c, d, force)
	}
	if err := h.Store.Delete(c.Request().Context(), d, cas.CondemnOptions{Force: force}); err != nil {
		return problem.WithBlob(err, d)
	}
	return respond.JSON(c, http.StatusAccepted, api.Deleted{Digest: d, State: cas.StateCondemned})
}

// File answers DELETE /v1/files/{id}.
func (h *Handlers) File(c echo.Context) error {
	id, err := request.PathParam(c, "file")
	if err != nil {
		return err
	}
	everywhere, err := request.Bool(c, "everywhere")
	if err != nil {
		return err
	}
	if err := h.checkFileMatch(c, id); err != nil {
		return err
	}
	if everywhere {
		return h.fileEverywhere(c, id)
	}
	deleted, err := h.Files.DeleteFile(c.Request().Context(), id)
	if err != nil {
		return problem.WithFile(err, id)
	}
	request.StateOf(c).Record.Digest = deleted.Digest
	return respond.JSON(c, http.StatusOK, fileDeleted(id))
}

// checkFileMatch holds the field If-Match against the entity tag of a file's content.
func (h *Handlers) checkFileMatch(c echo.Context, id string) error {
	if c.Request().Header["If-Match"] == nil {
		return nil
	}
	file, err := h.Files.File(c.Request().Context(), id)
	if err != nil {
		return problem.WithFile(err, id)
	}
	return request.CheckMatch(c.Request().Header, request.ETag(file.Digest))
}

func fileDeleted(id string) api.FileDeleted {
	return api.FileDeleted{ID: id, Object: api.ObjectFile, Deleted: true}
}
