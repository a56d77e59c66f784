package copyapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
	"casgate/providers/ledger"
)

// Remove answers DELETE /v1/blobs/{digest}/copies/{provider}, and the same of a file.
func (h *Handlers) Remove(c echo.Context) error {
	q, err := h.requestWithBytes(c)
	if err != nil {
		return err
	}
	copies, err := h.Copies.Remove(c.Request().Context(), q)
	if err != nil {
		return problem.WithBlob(err, q.Digest)
	}
	operation := ""
	for i, row := range copies {
		copies[i] = shownFor(q, row)
		if row.State != ledger.StateDeleting {
			continue
		}
		if operation == "" {
			operation = row.OperationID
		}
		if row.IsDeletedFor(q.OperationID) {
			request.StateOf(c).SkipRecord = true // the end of the removal makes the record
		}
	}
	answer := api.CopyList{Copies: view.Copies(copies)}
	if operation == "" {
		return respond.JSON(c, http.StatusOK, answer)
	}
	return respond.Accepted(c, h.URLs, operation, answer)
}
