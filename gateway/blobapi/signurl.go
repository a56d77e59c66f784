package blobapi

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
)

// SignURL answers POST /v1/blobs/{digest}/url.
func (h *Handlers) SignURL(c echo.Context) error {
	d, err := request.Digest(c)
	if err != nil {
		return err
	}
	var req api.SignURL
	if err := request.JSON(c, &req); err != nil {
		return err
	}
	if req.ExpiresIn < 1 || req.ExpiresIn > api.MaxURLLife {
		return problem.BadRequest(fmt.Sprintf("expires_in: %d is not between 1 and %d seconds", req.ExpiresIn, api.MaxURLLife))
	}
	ctx := c.Request().Context()
	if _, err := h.Store.Blob(ctx, d); err != nil {
		return problem.WithBlob(err, d)
	}
	signed, err := h.Signer.SignURL(ctx, d, access.Shown{}, time.Now().Add(time.Duration(req.ExpiresIn)*time.Second))
	if err != nil {
		return err
	}
	return respond.JSON(c, http.StatusOK, signed)
}
