package client

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"casgate/gateway/api"
)

// Ready returns nil if the gateway, its index and its store answer. If only the gateway
// answers, the error wraps ErrNotReady. Ready is not retried, and sends no token.
func (c *Client) Ready(ctx context.Context) error {
	var health api.Health
	err := c.doJSON(ctx, &request{
		method:    http.MethodGet,
		path:      "/readyz",
		anonymous: true,
		accept:    http.StatusServiceUnavailable,
	}, &health)
	if err != nil || health.Status == "ok" {
		return err
	}
	var ailing []string
	for _, part := range slices.Sorted(maps.Keys(health.Checks)) {
		if state := health.Checks[part]; state != "ok" {
			ailing = append(ailing, part+": "+state)
		}
	}
	if health.Status == "draining" {
		return fmt.Errorf("%w: it is draining, and stops soon", ErrNotReady)
	}
	return fmt.Errorf("%w: %s; its log says why", ErrNotReady, strings.Join(ailing, ", "))
}
