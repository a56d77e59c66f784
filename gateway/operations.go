package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"casgate/gateway/api"
	"casgate/providers"
)

// maxOperationID is longer than any id the gateway gives out.
const maxOperationID = 200

// getOperation answers GET /v1/operations/{id}.
func (g *Gateway) getOperation(c echo.Context) error {
	id, err := textParam(c, "id")
	if err != nil {
		return err
	}
	unknown := &requestError{api.CodeOperationNotFound, "There is no such operation, or a later one on the same copy took its place."}
	if len(id) > maxOperationID || !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl) {
		return unknown
	}
	ctx := c.Request().Context()
	row, err := g.copies.Operation(ctx, id)
	if errors.Is(err, providers.ErrCopyNotFound) {
		return unknown
	}
	if err == nil {
		row, err = g.lastOfDelete(ctx, row, id)
	}
	if err != nil {
		return err
	}
	operation := apiOperation(id, row)
	if operation.Status == api.OperationPending || operation.Status == api.OperationRunning {
		c.Response().Header().Set(echo.HeaderRetryAfter, pollAfter)
	}
	return noStore(c, http.StatusOK, operation)
}

// lastOfDelete returns, where row was deleted, another that is still being
// deleted by the same operation, if there is one: a delete may be about several
// copies, and is over when all of them are gone.
func (g *Gateway) lastOfDelete(ctx context.Context, row providers.Copy, id string) (providers.Copy, error) {
	if row.State != providers.StateDeleted {
		return row, nil
	}
	all, err := g.copies.Copies(ctx, row.Digest)
	for _, other := range all {
		if other.OperationID == id && other.State == providers.StateDeleting {
			return other, nil
		}
	}
	return row, err
}

// apiOperation says how far the work on a copy is.
func apiOperation(id string, row providers.Copy) api.Operation {
	shown := apiCopy(row)
	o := api.Operation{ID: id, Kind: api.OperationSync, Copy: &shown}
	switch row.State {
	case providers.StatePending:
		o.Status = api.OperationPending
	case providers.StateReady, providers.StateEvicted, providers.StateLost:
		o.Status = api.OperationSucceeded // what became of the file later is another story
	case providers.StateFailed:
		o.Status = api.OperationFailed
	case providers.StateDeleting:
		o.Kind, o.Status = api.OperationDelete, api.OperationRunning
	case providers.StateDeleted:
		o.Kind, o.Status = api.OperationDelete, api.OperationSucceeded
	default: // uploading, processing
		o.Status = api.OperationRunning
	}
	if o.Status != api.OperationSucceeded && row.Error != nil {
		p := problemOf(row.Error, id)
		o.Error = &p
	}
	return o
}
