package blobapi

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
)

// FindMissing answers POST /v1/blobs/find-missing.
func (h *Handlers) FindMissing(c echo.Context) error {
	var req api.FindMissing
	if err := request.JSON(c, &req); err != nil {
		return err
	}
	if req.Digests == nil {
		return problem.BadRequest(`digests: a list is needed, such as {"digests":["sha256:…"]}`)
	}
	if len(req.Digests) > api.MaxFindMissing {
		return problem.BadRequest(fmt.Sprintf("digests: %d are more than the %d one request may ask for", len(req.Digests), api.MaxFindMissing))
	}
	missing, err := h.Store.Missing(c.Request().Context(), req.Digests)
	if err != nil {
		return err
	}
	if missing == nil {
		missing = []cas.Digest{}
	}
	return respond.JSON(c, http.StatusOK, api.Missing{Missing: missing})
}
