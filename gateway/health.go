package gateway

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/gateway/api"
)

// readyTimeout bounds how long readyz waits for index and store.
const readyTimeout = 3 * time.Second

//go:embed openapi.yaml
var openAPISpec []byte

// healthz says that the process lives. It asks nobody else, so that an outage of
// the database does not get every gateway restarted.
func (g *Gateway) healthz(c echo.Context) error {
	health := api.Health{Status: "ok"}
	health.Providers, health.Warning = g.providerHealth()
	return noStore(c, http.StatusOK, health)
}

// readyz says whether the index and the object store answer. A provider that is
// down doesn't count: blobs, and the copies there are, are served without it.
func (g *Gateway) readyz(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyTimeout)
	defer cancel()
	answers := make(chan error, 1)
	go func() { answers <- g.store.CheckObjects(ctx) }()
	indexErr := g.store.CheckIndex(ctx)
	storeErr := <-answers

	health := api.Health{Status: "ok", Checks: map[string]string{"index": "ok", "store": "ok"}}
	health.Providers, health.Warning = g.providerHealth()
	status := http.StatusOK
	for part, err := range map[string]error{"index": indexErr, "store": storeErr} {
		if err != nil {
			// The log says why; an answer without a token names no hosts.
			g.log.Warn().Err(err).Str("part", part).Msg("not ready")
			health.Status, health.Checks[part] = "unavailable", "unavailable"
			status = http.StatusServiceUnavailable
		}
	}
	return noStore(c, status, health)
}

func (g *Gateway) openAPI(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml", openAPISpec)
}

// noStore answers with JSON that no cache may keep.
func noStore(c echo.Context, status int, v any) error {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // URLs are to be copied from what is shown
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	c.Response().Header().Set(echo.HeaderContentLength, strconv.Itoa(body.Len())) // or a long one would go out in chunks
	return c.Blob(status, echo.MIMEApplicationJSON, body.Bytes())
}
