package main

import (
	"context"
	"time"
)

// healthcheckCmd asks whether the gateway is ready, for containers without curl.
type healthcheckCmd struct {
	clientConfig
}

// healthTimeout is longer than the gateway itself waits for its index and store.
const healthTimeout = 5 * time.Second

// Run says nothing where all is well.
func (c *healthcheckCmd) Run(ctx context.Context) error {
	gateway, err := newClient(c.URL, "", -1) // neither a token nor a second try
	if err != nil {
		return usageError{err}
	}
	defer gateway.Close()
	limited, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	if err := gateway.Ready(limited); err != nil && ctx.Err() == nil {
		return codedError{err, exitUnavailable}
	}
	return ctx.Err()
}
