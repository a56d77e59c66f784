package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"casgate/gateway/api"
	"casgate/providers"
)

// getReference answers GET /v1/blobs/{digest}/references/{provider}.
func (g *Gateway) getReference(c echo.Context) error {
	q, err := g.copyRequest(c)
	if err != nil {
		return err
	}
	ctx := g.waitingLong(c.Request())
	defer ctx.end()
	ref, err := g.copies.Reference(ctx, q, c.QueryParam("kind"))
	if err != nil {
		return notFoundDetail(err, q.Digest)
	}
	answer := api.Reference{
		Provider:  q.Provider,
		Kind:      ref.Kind.Name,
		Where:     ref.Kind.Where,
		Value:     ref.Value,
		ExpiresAt: timeIfAny(ref.ExpiresAt),
		Simulated: g.isSimulated(q.Provider),
	}
	aboutOf(c).silent = ref.Kind.Needs == providers.NeedURL // to sign a URL is no operation
	if ref.Copy != nil {
		shown := apiCopy(*ref.Copy)
		answer.Copy = &shown
		noteCopy(c, *ref.Copy)
	}
	return noStore(c, http.StatusOK, answer)
}

// textType is what extracted texts are, whatever else a blob of the same bytes
// was once uploaded as.
const textType = "text/plain; charset=utf-8"

// getText answers GET and HEAD of /v1/blobs/{digest}/text.
func (g *Gateway) getText(c echo.Context) error {
	q, err := g.copyRequest(c)
	if err != nil {
		return err
	}
	if q.Provider = c.QueryParam("provider"); q.Provider == "" {
		if q.Provider, err = g.textProvider(); err != nil {
			return err
		}
	}
	aboutOf(c).provider = q.Provider
	ctx := g.waitingLong(c.Request())
	defer ctx.end()
	text, err := g.copies.Text(ctx, q)
	if err != nil {
		return notFoundDetail(err, q.Digest)
	}
	text.MediaType = textType
	return g.serveBlob(c, text, view{
		caching:  "private, no-cache", // it may be extracted anew, and otherwise
		location: g.hashURL(text.Digest),
	})
}

// textProvider returns the first provider that extracts texts.
func (g *Gateway) textProvider() (string, error) {
	for _, p := range g.copies.Accounts() {
		if _, ok := providers.Ability[providers.TextExtractor](p); ok {
			return p.Describe().Provider, nil
		}
	}
	why := "none of the providers configured extracts text"
	if _, others := g.copies.Providers(); len(others) > 0 {
		why += "; not configured: " + strings.Join(slices.Sorted(slices.Values(others)), ", ")
	}
	return "", fmt.Errorf("%w: %s", providers.ErrProviderNotFound, why)
}
