package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"casgate/gateway/api"
)

// urlCmd signs a hash URL.
type urlCmd struct {
	clientConfig

	Blob    blobRef       `arg:"" name:"digest" help:"Digest, or hash URL of this gateway."`
	Expires time.Duration `default:"1h" help:"How long the URL is good for, such as 15m or 24h; 168h at most."`
}

// Run prints the signed URL, and nothing else.
func (c *urlCmd) Run(ctx context.Context, std stdio) error {
	if c.Expires < time.Second || c.Expires > api.MaxURLLife*time.Second {
		return usageError{errors.New("--expires must be between 1s and 168h")}
	}
	gateway, err := c.connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	d, err := c.Blob.digestAt(gateway)
	if err != nil {
		return err
	}
	signed, err := gateway.SignURL(ctx, d, c.Expires)
	if err != nil {
		return advise(err)
	}
	_, err = fmt.Fprintln(std.out, signed.URL)
	return err
}
