// Package healthapi answers the requests about the gateway itself: whether it lives, and
// is ready.
package healthapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/respond"
	"casgate/providers"
)

// Store is checked by Ready.
type Store interface {
	CheckIndex(ctx context.Context) error
	CheckObjects(ctx context.Context) error
	CheckSpool(ctx context.Context) error
}

// Copies knows the accounts at providers.
type Copies interface {
	Accounts() []providers.Guarded
}

// Handlers answers requests about the gateway itself.
type Handlers struct {
	Store  Store
	Copies Copies
	// IsDiskLow reports whether a disk of the gateway is nearly full. Optional.
	IsDiskLow func() bool
	// IsDraining reports whether the gateway is about to stop.
	IsDraining func() bool
	// Installation is the same at all gateways of an index, and at no others. Optional.
	Installation string
	Log          zerolog.Logger
}

// readyTimeout bounds how long Ready waits for index and store.
const readyTimeout = 3 * time.Second

// Live answers GET /healthz: the process lives. It checks nothing else, so that an outage
// of the database does not get every gateway restarted.
func (h *Handlers) Live(c echo.Context) error {
	health := api.Health{Status: "ok", Installation: h.Installation}
	health.Providers, health.Warning = h.providerHealth()
	return respond.JSON(c, http.StatusOK, health)
}

// Ready answers GET /readyz: whether the index and the object store answer, and the index
// takes writes. A provider that is down doesn't count: blobs and existing copies are served
// without it. A disk that is nearly full, and a spool folder that can't be used, are told and
// don't count either: reads and most uploads work. A gateway that is about to stop isn't ready.
func (h *Handlers) Ready(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyTimeout)
	defer cancel()
	answers := make(chan error, 1)
	go func() { answers <- h.Store.CheckObjects(ctx) }()
	indexErr := h.Store.CheckIndex(ctx)
	storeErr := <-answers

	health := api.Health{Status: "ok", Installation: h.Installation, Checks: map[string]string{"index": "ok", "store": "ok"}}
	health.Providers, health.Warning = h.providerHealth()
	health.Checks["spool"] = "ok"
	if err := h.Store.CheckSpool(ctx); err != nil {
		h.Log.Warn().Err(err).Str("part", "spool").Msg("larger uploads are refused")
		health.Checks["spool"] = "unusable"
	}
	if h.IsDiskLow != nil {
		health.Checks["disk"] = "ok"
		if h.IsDiskLow() {
			health.Checks["disk"] = "low"
		}
	}
	status := http.StatusOK
	if h.IsDraining() {
		health.Status, status = "draining", http.StatusServiceUnavailable
	}
	for part, err := range map[string]error{"index": indexErr, "store": storeErr} {
		if err != nil {
			// The log says why; an answer that needs no token names no hosts.
			h.Log.Warn().Err(err).Str("part", part).Msg("not ready")
			health.Status, health.Checks[part] = "unavailable", "unavailable"
			if errors.Is(err, cas.ErrIndexReadOnly) {
				health.Checks[part] = "read-only"
			}
			status = http.StatusServiceUnavailable
		}
	}
	return respond.JSON(c, status, health)
}
