package main

import (
	"context"
	"time"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/client"
)

// healthcheckCmd asks whether the gateway is ready, for containers without curl.
type healthcheckCmd struct {
	settings.Client

	JSON bool `name:"json" help:"Print a JSON object."`
}

// health is the JSON of a check.
type health struct {
	Ready bool              `json:"ready"`
	URL   string            `json:"url"`
	Error *report.JSONError `json:"error,omitempty"`
}

// healthTimeout is longer than the gateway itself waits for its index and store.
const healthTimeout = 5 * time.Second

// Run prints nothing if the gateway is ready, but with --json.
func (c *healthcheckCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.ConnectWithout(client.Options{Retries: -1}) // neither a token nor a second try
	if err != nil {
		return err
	}
	defer gateway.Close()
	limited, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	err = gateway.Ready(limited)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if c.JSON {
		if err := terminal.PrintJSON(std.Out, health{Ready: err == nil, URL: gateway.BaseURL(), Error: report.NewJSONError(err)}); err != nil {
			return err
		}
	}
	return exit.With(exit.Unavailable, err)
}
