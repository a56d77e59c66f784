package copyapi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/providers"
)

// textType is the media type of extracted texts. A blob of the same bytes may have
// been uploaded as another type.
const textType = "text/plain; charset=utf-8"

// Text answers GET and HEAD of /v1/blobs/{digest}/text, and the same of a file.
func (h *Handlers) Text(c echo.Context) error {
	q, err := h.requestWithBytes(c)
	if err != nil {
		return err
	}
	if q.Provider = c.QueryParam("provider"); q.Provider == "" {
		if q.Provider, err = h.textProvider(); err != nil {
			return err
		}
	}
	request.StateOf(c).Record.Provider = q.Provider
	wait := h.Waits.ForResult(c.Request())
	defer wait.End()
	text, err := h.Copies.Text(wait, q)
	if err != nil {
		return problem.WithBlob(err, q.Digest)
	}
	text.MediaType = textType
	return respond.Blob(c, h.Store, text, respond.BlobOptions{
		CacheControl: "private, no-cache, no-transform", // a new extraction may give another text
		Location:     h.URLs.Blob(text.Digest),
	})
}

// textProvider returns the first provider that extracts texts.
func (h *Handlers) textProvider() (string, error) {
	for _, p := range h.Copies.Accounts() {
		if _, ok := providers.Ability[providers.TextExtractor](p); ok {
			return p.Describe().Provider, nil
		}
	}
	why := "none of the providers configured extracts text"
	if _, unconfigured := h.Copies.Providers(); len(unconfigured) > 0 {
		why += "; not configured: " + strings.Join(slices.Sorted(slices.Values(unconfigured)), ", ")
	}
	return "", fmt.Errorf("%w: %s", providers.ErrProviderNotFound, why)
}
