package copyapi

import (
	"errors"

	"github.com/labstack/echo/v4"

	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// Ensure answers PUT /v1/blobs/{digest}/copies/{provider}, and the same of a file.
func (h *Handlers) Ensure(c echo.Context) error {
	q, err := h.requestToMake(c)
	if err != nil {
		return err
	}
	prefer := request.Prefer(c.Request())
	patience := prefer.Patience(h.Waits.Usual)
	if patience == 0 {
		return h.begin(c, q, prefer)
	}
	wait := h.Waits.For(c.Request(), patience)
	defer wait.End()
	made, created, err := h.Copies.Ensure(wait, q)
	switch {
	case err == nil:
		return answerReady(c, shownFor(q, made), created, prefer)
	case wait.HasRunOut():
		return h.begin(c, q, prefer)
	default:
		return problem.WithBlob(err, q.Digest)
	}
}

// ReportLost answers POST /v1/blobs/{digest}/copies/{provider}/lost, and the same of a
// file.
func (h *Handlers) ReportLost(c echo.Context) error {
	q, err := h.requestWithBytes(c)
	if err != nil {
		return err
	}
	var report api.LostReport
	if err := request.OptionalJSON(c, &report); err != nil {
		return err
	}
	// The report must be checked first, so respond-async does not apply. Work that can
	// go on without the request begins after the check.
	wait := h.Waits.ForResult(c.Request())
	defer wait.End()
	made, created, err := h.Copies.ReportLost(wait, q, report.ProviderFileID)
	switch {
	case err == nil:
		return answerReady(c, shownFor(q, made), created, request.Preference{})
	case errors.Is(err, providers.ErrCopyInProgress) && wait.HasRunOut() && made.State != ledger.StateReady:
		return h.begin(c, q, request.Preference{})
	default:
		return problem.WithBlob(err, q.Digest)
	}
}

// answerReady answers 200 with a copy that is ready.
func answerReady(c echo.Context, made ledger.Copy, created bool, prefer request.Preference) error {
	recordBytes(c, made)
	respond.SetApplied(c, prefer.AppliedWhenDone())
	return sendReady(c, made, created)
}

// begin begins a copy, and answers 202 with the copy as it is. If it is ready, begin
// answers 200; if no work on it goes on, begin returns the error that says why.
func (h *Handlers) begin(c echo.Context, q replicator.Request, prefer request.Preference) error {
	row, err := h.Copies.Begin(c.Request().Context(), q)
	if row.OperationID == q.OperationID {
		request.StateOf(c).SkipRecord = true // the end of the work makes the record
	}
	if err != nil {
		return problem.WithBlob(err, q.Digest)
	}
	if row.State == ledger.StateReady {
		return answerReady(c, shownFor(q, row), false, prefer)
	}
	respond.SetApplied(c, prefer.AppliedWhenAccepted())
	return respond.Accepted(c, h.URLs, row.OperationID, view.Copy(shownFor(q, row)))
}
