package copyapi

import (
	"errors"
	"fmt"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/respond"
	"casgate/gateway/view"
	"casgate/providers"
	"casgate/providers/ledger"
)

// Content answers GET /v1/blobs/{digest}/copies/{provider}/content, and the same of a
// file: with the bytes that the provider returns. The gateway neither verifies nor
// keeps them.
func (h *Handlers) Content(c echo.Context) error {
	row, err := h.lookUp(c)
	if err != nil {
		return err
	}
	body, err := h.Copies.Download(c.Request().Context(), row)
	if errors.Is(err, providers.ErrNoDownload) {
		return h.withAlternative(row, err)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	return respond.Unverified(c, body, cas.Blob{MediaType: row.MediaType, Name: row.Name})
}

// withAlternative adds to an error where else the bytes are, or the text of them.
func (h *Handlers) withAlternative(row ledger.Copy, err error) error {
	path, text := view.BlobPath(row.Digest), ""
	for _, p := range h.Copies.Accounts() {
		if _, able := providers.Ability[providers.TextExtractor](p); able && p.Describe().Provider == row.Provider {
			text = fmt.Sprintf("; the text that it extracts is at %s/text?provider=%s", path, row.Provider)
		}
	}
	return fmt.Errorf("%w; the gateway's own bytes are at %s%s", err, path, text)
}
