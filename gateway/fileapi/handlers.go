// Package fileapi answers the requests about files, except deletes, in the shape of
// OpenAI's API.
package fileapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/blobtarget"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
	"casgate/providers"
)

// Store keeps blobs.
type Store interface {
	respond.Opener
	Blob(ctx context.Context, d cas.Digest) (cas.Blob, error)
	// Hidden returns those of the digests whose blobs readers can't see.
	Hidden(ctx context.Context, ds []cas.Digest) (map[cas.Digest]bool, error)
}

// Files keeps files.
type Files interface {
	File(ctx context.Context, id string) (cas.File, error)
	// FilePosition returns the place of a file in listings, also if it was deleted recently.
	FilePosition(ctx context.Context, id string) (cas.FileCursor, error)
	ListFiles(ctx context.Context, q cas.FileQuery) ([]cas.File, error)
	// Keyed makes uploads with the same idempotency key one upload.
	Keyed(ctx context.Context, key *cas.IdempotencyKey, u cas.Upload, store func(u cas.Upload) error) error
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
	SignUpload(c echo.Context, g access.UploadGrant) (api.UploadURL, error)
}

// Copies knows the providers.
type Copies interface {
	// Accounts returns the accounts at the providers that are configured.
	Accounts() []providers.Guarded
}

// Handlers answers requests about files.
type Handlers struct {
	Store        Store
	Files        Files
	UploadCopies UploadCopies
	Authorizer   Authorizer
	Copies       Copies
	Targets      blobtarget.Finder
	Uploads      request.Uploads
	URLs         view.URLs
}

// purposeExtract is the purpose of documents whose text is wanted. Moonshot's API answers
// the text where this one answers the bytes, which then say where the text is.
const purposeExtract = "file-extract"

// purposes returns the purposes that new files may have: those of every gateway, and
// those of the providers that are configured.
func (h *Handlers) purposes() []string {
	all := slices.Clone(cas.Purposes)
	for _, account := range h.Copies.Accounts() {
		for _, purpose := range account.Describe().Purposes {
			if !slices.Contains(all, purpose.Name) {
				all = append(all, purpose.Name)
			}
		}
	}
	return all
}

// checkPurpose refuses a purpose that is not among the known ones and these others.
func (h *Handlers) checkPurpose(purpose string, others []string) error {
	if slices.Contains(others, purpose) || slices.Contains(cas.Purposes, purpose) {
		return nil
	}
	if known := h.purposes(); !slices.Contains(known, purpose) {
		return problem.BadRequest(fmt.Sprintf("purpose: %.100q is not one of %s", purpose, strings.Join(known, ", ")))
	}
	return nil
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
	shown := view.File(file, h.URLs)
	if !file.IsPending() {
		_, err := h.Store.Blob(c.Request().Context(), file.Digest)
		switch {
		case errors.Is(err, cas.ErrBlobNotFound):
			view.MarkDeleted(&shown)
		case err != nil:
			return err
		}
	}
	return respond.JSON(c, http.StatusOK, shown)
}

// Content answers GET and HEAD of /v1/files/{id}/content.
func (h *Handlers) Content(c echo.Context) error {
	file, blob, err := h.Targets.FileBytes(c)
	if err != nil {
		return err
	}
	blob.Name, blob.MediaType = file.Name, file.MediaType
	if file.Purpose == purposeExtract {
		c.Response().Header().Set("Link", fmt.Sprintf(`<%s/text>; rel="alternate"; type="text/plain"`, h.URLs.File(file.ID)))
	}
	return respond.Blob(c, h.Store, blob, respond.BlobOptions{
		CacheControl: "private, no-cache, no-transform", // the file may be deleted, or expire
		Location:     h.URLs.Blob(blob.Digest),
	})
}
