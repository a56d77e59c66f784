package copyapi

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
	"casgate/providers"
)

// Reference answers GET /v1/blobs/{digest}/references/{provider}, and the same of a
// file.
func (h *Handlers) Reference(c echo.Context) error {
	q, err := h.requestToMake(c)
	if err != nil {
		return err
	}
	wait := h.Waits.ForResult(c.Request())
	defer wait.End()
	ref, err := h.Copies.Reference(wait, q, c.QueryParam("kind"))
	if err != nil {
		return problem.WithBlob(err, q.Digest)
	}
	answer := api.Reference{
		Provider:  q.Provider,
		Kind:      ref.Kind.Name,
		Place:     string(ref.Kind.Place),
		Where:     ref.Kind.Where(),
		Value:     ref.Value,
		ExpiresAt: view.OptionalTime(ref.ExpiresAt),
		Simulated: h.isSimulated(q.Provider),
		Warning:   ref.Warning,
	}
	request.StateOf(c).SkipRecord = ref.Kind.Needs == providers.NeedURL || ref.Kind.Needs == providers.NeedBytes // no operation
	if ref.Copy != nil {
		shown := view.Copy(shownFor(q, *ref.Copy))
		answer.Copy = &shown
		recordBytes(c, *ref.Copy)
	}
	return respond.JSON(c, http.StatusOK, answer)
}

// isSimulated reports whether a simulator stands in for a provider.
func (h *Handlers) isSimulated(provider string) bool {
	return slices.ContainsFunc(h.Copies.Accounts(), func(p providers.Guarded) bool {
		description := p.Describe()
		return description.Provider == provider && description.Simulated
	})
}
