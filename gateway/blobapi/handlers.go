// Package blobapi answers the requests about blobs, except deletes: uploads, reads by
// hash URL, lists, and signed URLs.
package blobapi

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/blobtarget"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
	"casgate/providers/ledger"
)

// Store keeps blobs.
type Store interface {
	respond.Opener
	Blob(ctx context.Context, d cas.Digest) (cas.Blob, error)
	// Put stores a blob. It may leave the body unread if the blob exists.
	Put(ctx context.Context, u cas.Upload) (b cas.Blob, stored bool, err error)
	// PutVerified is Put that reads and verifies the body in any case.
	PutVerified(ctx context.Context, u cas.Upload) (b cas.Blob, stored bool, err error)
	Present(ctx context.Context, ds []cas.Digest) (missing []cas.Digest, present map[cas.Digest]cas.Blob, err error)
	WithPrefix(ctx context.Context, first, last cas.Digest, limit int) ([]cas.Blob, error)
	ListSome(ctx context.Context, q cas.Query) (blobs []cas.Blob, next cas.Cursor, err error)
}

// Files lists files, and keeps the idempotency keys of uploads.
type Files interface {
	// KeepUpload is described at cas.FileIndex.
	KeepUpload(ctx context.Context, key cas.IdempotencyKey, u cas.KeptUpload) (first bool, err error)
	// Keyed makes uploads with the same idempotency key one upload.
	Keyed(ctx context.Context, key *cas.IdempotencyKey, u cas.Upload, store func(u cas.Upload) error) error
	ListFiles(ctx context.Context, q cas.FileQuery) ([]cas.File, error)
}

// Copies lists copies.
type Copies interface {
	Copies(ctx context.Context, d cas.Digest) ([]ledger.Copy, error)
}

// UploadCopies begins the copies that uploads ask for.
type UploadCopies interface {
	FromQuery(c echo.Context) ([]string, error)
	Begin(c echo.Context, of blobtarget.Target, at []string) []api.AskedCopy
}

// Signer signs hash URLs.
type Signer interface {
	SignURL(ctx context.Context, d cas.Digest, shown access.Shown, expires time.Time) (api.SignedURL, error)
}

// Handlers answers requests about blobs.
type Handlers struct {
	Store        Store
	Files        Files
	Copies       Copies
	UploadCopies UploadCopies
	Signer       Signer
	Uploads      request.Uploads
	URLs         view.URLs
	CacheControl string // of hash URLs
	// Redirect sends reads of large blobs to the object store. Nil: the gateway serves all.
	Redirect *respond.Redirect
}
