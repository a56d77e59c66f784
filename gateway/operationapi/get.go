// Package operationapi answers the requests about operations: those under way, which
// the ledger of copies knows, and those in the journal.
package operationapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
	"casgate/providers/ledger"
)

// Copies knows the operations on copies.
type Copies interface {
	// Operation returns the copy that an operation is about, or
	// ledger.ErrNotFound.
	Operation(ctx context.Context, id string) (ledger.Copy, error)
	Copies(ctx context.Context, d cas.Digest) ([]ledger.Copy, error)
}

// Journal is where the records of the journal are read.
type Journal interface {
	// Records returns a page, newest first.
	Records(ctx context.Context, q journal.Query) ([]journal.Entry, error)
	// Record returns the newest record of an operation, or journal.ErrNotFound.
	Record(ctx context.Context, id string) (journal.Entry, error)
}

// Handlers answers requests about operations.
type Handlers struct {
	Copies  Copies
	Journal Journal
	// Lost returns the number of operations that this gateway could not record. Nil: it records
	// none.
	Lost func() uint64
}

var errUnknown = problem.New(problem.OperationNotFound, "There is no such operation, or it only looked, or is still under way, or its record is gone.")

// maxOperationID is longer than the id of any operation.
const maxOperationID = 200

// Get answers GET /v1/operations/{id}.
func (h *Handlers) Get(c echo.Context) error {
	id, err := request.PathParam(c, "id")
	if err != nil {
		return err
	}
	if len(id) > maxOperationID || !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl) {
		return errUnknown
	}
	ctx := c.Request().Context()
	row, err := h.Copies.Operation(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return h.getRecorded(c, id)
	}
	if err == nil {
		row, err = h.lastOfDelete(ctx, row, id)
	}
	if err != nil {
		return err
	}
	operation := showOperation(id, row)
	if operation.Status == api.OperationPending || operation.Status == api.OperationRunning {
		c.Response().Header().Set(echo.HeaderRetryAfter, respond.PollAfter)
	}
	return respond.JSON(c, http.StatusOK, operation)
}

// getRecorded answers with an operation that only the journal knows.
func (h *Handlers) getRecorded(c echo.Context, id string) error {
	entry, err := h.Journal.Record(c.Request().Context(), id)
	switch {
	case errors.Is(err, journal.ErrNotFound):
		return errUnknown
	case err != nil:
		return err
	}
	return respond.JSON(c, http.StatusOK, showRecorded(entry.Record))
}

// showRecorded shapes an operation that only the journal knows.
func showRecorded(r journal.Record) api.Operation {
	shown := showRecord(r)
	o := api.Operation{ID: r.ID, Kind: string(r.Kind), Status: api.OperationSucceeded, Record: &shown}
	if r.Kind == journal.KindUnsync {
		o.Kind = api.OperationDelete // its name while it was under way
	}
	if r.Outcome != journal.OutcomeOK {
		o.Status = api.OperationFailed
		if shown.ErrorCode.Known() {
			p := shown.ErrorCode.Details("This is what the journal has kept of it; the log had the details under the operation id.", r.ID)
			o.Error = &p
		}
	}
	return o
}

// lastOfDelete returns row, or a copy that the same operation is still deleting, if row
// was deleted or waits for an operator. A delete may be about several copies, and ends when
// all are gone. A copy that the gateway can delete by itself comes first: who waits for the
// operation should wait for that one.
func (h *Handlers) lastOfDelete(ctx context.Context, row ledger.Copy, id string) (ledger.Copy, error) {
	if row.State != ledger.StateDeleted && !(row.State == ledger.StateDeleting && needsOperator(row)) {
		return row, nil
	}
	all, err := h.Copies.Copies(ctx, row.Digest)
	for _, other := range all {
		switch {
		case other.State != ledger.StateDeleting || !other.IsDeletedFor(id):
		case !needsOperator(other):
			return other, nil
		case row.State == ledger.StateDeleted:
			row = other
		}
	}
	return row, err
}

// needsOperator is problem.NeedsOperator for a row, which may have no error.
func needsOperator(row ledger.Copy) bool { return row.Error != nil && problem.NeedsOperator(row.Error) }

// showOperation shapes an operation by the state of its copy.
func showOperation(id string, row ledger.Copy) api.Operation {
	shown := view.Copy(row)
	o := api.Operation{ID: id, Kind: api.OperationSync, Copy: &shown}
	switch row.State {
	case ledger.StatePending:
		o.Status = api.OperationPending
	case ledger.StateReady, ledger.StateEvicted, ledger.StateLost:
		o.Status = api.OperationSucceeded // a later loss of the file does not count
	case ledger.StateFailed:
		o.Status = api.OperationFailed
	case ledger.StateDeleting:
		o.Kind, o.Status = api.OperationDelete, api.OperationRunning
	case ledger.StateDeleted:
		o.Kind, o.Status = api.OperationDelete, api.OperationSucceeded
	default: // uploading, processing
		o.Status = api.OperationRunning
	}
	if o.Status != api.OperationSucceeded && row.Error != nil {
		p := problem.Of(row.Error, id)
		o.Error = &p
	}
	return o
}
