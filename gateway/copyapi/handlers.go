// Package copyapi answers the requests about copies of blobs at providers: making,
// listing and removing them, references to them, and what providers give back.
package copyapi

import (
	"cmp"
	"context"
	"io"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/blobtarget"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// Store keeps blobs.
type Store interface {
	respond.Opener
	Blob(ctx context.Context, d cas.Digest) (cas.Blob, error)
}

// Replicator makes and knows copies.
type Replicator interface {
	Ensure(ctx context.Context, q replicator.Request) (c ledger.Copy, created bool, err error)
	Begin(ctx context.Context, q replicator.Request) (ledger.Copy, error)
	ReportLost(ctx context.Context, q replicator.Request, fileID string) (c ledger.Copy, created bool, err error)
	Copies(ctx context.Context, d cas.Digest) ([]ledger.Copy, error)
	Copy(ctx context.Context, q replicator.Request) (ledger.Copy, error)
	Remove(ctx context.Context, q replicator.Request) ([]ledger.Copy, error)
	Reference(ctx context.Context, q replicator.Request, kind string) (replicator.Reference, error)
	Text(ctx context.Context, q replicator.Request) (cas.Blob, error)
	Download(ctx context.Context, c ledger.Copy) (io.ReadCloser, error)
	Accounts() []providers.Guarded
	Providers() (configured, unconfigured []string)
}

// Handlers answers requests about copies.
type Handlers struct {
	Store   Store
	Copies  Replicator
	Targets blobtarget.Finder
	Waits   request.Waits
	URLs    view.URLs
}

// requestWithBytes reads what all requests about copies have in common, and takes in
// the bytes to copy if they have not been.
func (h *Handlers) requestWithBytes(c echo.Context) (replicator.Request, error) {
	of, err := h.Targets.FindBytes(c)
	if err != nil {
		return replicator.Request{}, err
	}
	return copyRequest(c, of)
}

// requestToMake is requestWithBytes for a request that makes a copy, or tries one again.
func (h *Handlers) requestToMake(c echo.Context) (replicator.Request, error) {
	q, err := h.requestWithBytes(c)
	if err == nil {
		q.Retry, err = request.Bool(c, "retry")
	}
	return q, err
}

// copyRequest reads what all requests about copies have in common.
func copyRequest(c echo.Context, of blobtarget.Target) (replicator.Request, error) {
	record := &request.StateOf(c).Record
	record.Digest = of.Digest
	q := replicator.Request{OperationID: request.OperationID(c), Actor: record.Actor, File: c.Param("file"), Digest: of.Digest, Name: of.Name, MediaType: of.MediaType}
	var err error
	if q.Provider, err = request.PathParam(c, "provider"); err != nil {
		return q, err
	}
	if request.HasQuery(c) {
		q.Purpose = c.QueryParam("purpose")
		var name string
		if name, err = request.CleanName(c.QueryParam("name")); name != "" {
			q.Name = name
		}
	}
	return q, err
}

// shownFor is a copy as the answer to a request shows it: with the name that the request
// gives the file. The ledger's is that of the request that made the copy, and perhaps of
// another client's file.
func shownFor(q replicator.Request, c ledger.Copy) ledger.Copy {
	c.Name = cmp.Or(q.Name, c.Name)
	return c
}

// recordBytes puts the size of a copy into the request's record, if the request made
// the copy. If not, the record of another operation has it, and the request changed nothing.
func recordBytes(c echo.Context, made ledger.Copy) {
	record := &request.StateOf(c).Record
	if made.OperationID == request.OperationID(c) {
		record.Bytes = made.Size
	} else {
		record.ChangesNothing = true
	}
}
