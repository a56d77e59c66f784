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
	"casgate/gateway/view"
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
	withPresent, err := request.Bool(c, "present")
	if err != nil {
		return err
	}
	missing, present, err := h.Store.Present(c.Request().Context(), req.Digests)
	if err != nil {
		return err
	}
	answer := api.Missing{Missing: missing}
	if missing == nil {
		answer.Missing = []cas.Digest{}
	}
	if withPresent {
		answer.Present = make([]api.Blob, 0, len(present))
		for _, d := range req.Digests {
			if b, ok := present[d]; ok {
				answer.Present = append(answer.Present, view.Blob(b, h.URLs))
				delete(present, d) // once, if it is named twice
			}
		}
	}
	return respond.JSON(c, http.StatusOK, answer)
}
