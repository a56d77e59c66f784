// Package providerapi answers the requests about providers: their state, and
// reconciliation with their file lists.
package providerapi

import (
	"context"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"

	"casgate/gateway/api"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
	"casgate/providers/replicator"
)

// Replicator knows the providers.
type Replicator interface {
	Providers() (configured, unconfigured []string)
	Status(ctx context.Context, provider string) (replicator.ProviderStatus, error)
	Reconcile(ctx context.Context, provider string, o replicator.ReconcileOptions) (replicator.Reconciliation, error)
}

// Handlers answers requests about providers.
type Handlers struct {
	Copies Replicator
	Log    zerolog.Logger
}

// List answers GET /v1/providers.
func (h *Handlers) List(c echo.Context) error {
	configured, unconfigured := h.Copies.Providers()
	list := api.ProviderList{Providers: []api.Provider{}}
	for _, name := range slices.Concat(configured, unconfigured) {
		status, err := h.Copies.Status(c.Request().Context(), name)
		if err != nil {
			return err
		}
		list.Providers = append(list.Providers, show(status))
	}
	return respond.JSON(c, http.StatusOK, list)
}

// Get answers GET /v1/providers/{provider}.
func (h *Handlers) Get(c echo.Context) error {
	name, err := request.PathParam(c, "provider")
	if err != nil {
		return err
	}
	status, err := h.Copies.Status(c.Request().Context(), name)
	if err != nil {
		return err
	}
	return respond.JSON(c, http.StatusOK, show(status))
}

// show shapes the status of a provider.
func show(s replicator.ProviderStatus) api.Provider {
	p := api.Provider{
		Name:       s.Provider,
		Configured: s.Configured,
		Advice:     s.Advice,
		Simulated:  s.Simulated,
		Account:    s.Account,
		Host:       s.Host,
		Available:  s.Available,
		Breaker:    s.Breaker,
		LastCheck:  view.OptionalTime(s.LastCheck),
		LastError:  view.ProviderError(s.LastError),
		HeldUntil:  view.OptionalTime(s.HeldUntil),
		Listed:     listed(s.Census, ""),
		MaxFiles:   s.MaxFiles,
		MaxBytes:   s.MaxBytes,
	}
	for _, limits := range s.Purposes {
		purpose := api.Purpose{
			Name:       limits.Name,
			Extensions: limits.Extensions,
			MaxSize:    limits.MaxSize,
			MaxSizeOf:  limits.SizeOf,
			MaxFiles:   limits.MaxFiles,
			MaxBytes:   limits.MaxBytes,
			Lifetime:   limits.LifetimeSeconds,
		}
		for _, u := range s.Usage {
			if u.Purpose == limits.Name {
				purpose.Files, purpose.Bytes = u.Files, u.Bytes
			}
		}
		purpose.Listed = listed(s.Census, limits.Name)
		p.Purposes = append(p.Purposes, purpose)
	}
	for _, u := range s.Usage { // also of purposes that are not among those any more
		p.Files += u.Files
		p.Bytes += u.Bytes
	}
	return p
}

// listed shapes the numbers of a purpose, or of all purposes if it is empty.
func listed(c replicator.Census, purpose string) *api.Listed {
	if c.At.IsZero() {
		return nil
	}
	ours, others := c.InPurpose(purpose)
	return &api.Listed{At: c.At, Files: ours.Files, Bytes: ours.Bytes, OthersFiles: others.Files, OthersBytes: others.Bytes}
}
