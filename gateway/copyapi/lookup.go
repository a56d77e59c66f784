package copyapi

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"casgate/gateway/api"
	"casgate/gateway/blobtarget"
	"casgate/gateway/problem"
	"casgate/gateway/respond"
	"casgate/gateway/view"
	"casgate/providers/ledger"
)

// List answers GET /v1/blobs/{digest}/copies, and the same of a file. It also lists
// the copies of a blob that was deleted: they can still be removed.
func (h *Handlers) List(c echo.Context) error {
	of, err := h.Targets.Find(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	copies, err := h.Copies.Copies(ctx, of.Digest)
	if err != nil {
		return err
	}
	if len(copies) == 0 && c.Param("file") == "" {
		if _, err := h.Store.Blob(ctx, of.Digest); err != nil {
			return problem.WithBlob(err, of.Digest)
		}
	}
	for i := range copies {
		copies[i].Name = cmp.Or(of.Name, copies[i].Name)
	}
	return respond.JSON(c, http.StatusOK, api.CopyList{Copies: view.Copies(copies)})
}

// Get answers GET /v1/blobs/{digest}/copies/{provider}, and the same of a file. It
// never uploads.
func (h *Handlers) Get(c echo.Context) error {
	row, err := h.lookUp(c)
	if err != nil {
		return err
	}
	return respond.JSON(c, http.StatusOK, view.Copy(row))
}

// lookUp returns the copy that a request names. Of a file's copies, if the request
// gives neither purpose nor name, and no copy has the usual ones, it is the newest, as
// of a blob's.
func (h *Handlers) lookUp(c echo.Context) (ledger.Copy, error) {
	of, err := h.Targets.Find(c)
	if err != nil {
		return ledger.Copy{}, err
	}
	q, err := copyRequest(c, of)
	if err != nil {
		return ledger.Copy{}, err
	}
	if of.Digest.IsZero() {
		return ledger.Copy{}, blobtarget.ErrNotTakenIn
	}
	ctx, asked := c.Request().Context(), q
	row, err := h.Copies.Copy(ctx, q)
	if errors.Is(err, ledger.ErrNotFound) && of.Name != "" && q.Purpose == "" && c.QueryParam("name") == "" {
		q.Name = ""
		row, err = h.Copies.Copy(ctx, q)
	}
	return shownFor(asked, row), problem.WithBlob(err, q.Digest)
}
