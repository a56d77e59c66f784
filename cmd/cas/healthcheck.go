package main

import (
	"context"
	"time"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/gateway/client"
)

// healthcheckCmd asks whether the gateway is ready, for containers without curl.
type healthcheckCmd struct {
	settings.Client
}

// healthTimeout is longer than the gateway itself waits for its index and store.
const healthTimeout = 5 * time.Second

// Run prints nothing if the gateway is ready.
func (c *healthcheckCmd) Run(ctx context.Context) error {
	gateway, err := settings.ClientOf(c.URL, client.Options{Retries: -1}) // neither a token nor a second try
	if err != nil {
		return err
	}
	defer gateway.Close()
	limited, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	if err := gateway.Ready(limited); err != nil && ctx.Err() == nil {
		return exit.With(exit.Unavailable, err)
	}
	return ctx.Err()
}
