package main

import (
	"context"
	"fmt"
	"time"

	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
)

// urlCmd signs a hash URL.
type urlCmd struct {
	settings.Client

	Blob    argument.Blob `arg:"" name:"digest" help:"Digest, or hash URL of this gateway."`
	Expires time.Duration `default:"1h" help:"How long the URL is valid, such as 15m or 24h or 7d; at most 7d."`
	JSON    bool          `name:"json" help:"Print a JSON object: the URL, and when it expires."`
}

// Help returns the text that --help adds.
func (urlCmd) Help() string {
	return `Anyone with the URL can read the blob until it expires, even after the token that made it is revoked: the URL is signed by a key of the gateway. To end all such URLs before, an operator retires that key (cas signing-key retire).`
}

// Run prints the signed URL, and nothing else.
func (c *urlCmd) Run(ctx context.Context, std terminal.Streams) error {
	if c.Expires < time.Second || c.Expires > api.MaxURLLife*time.Second {
		return exit.Usagef("--expires must be between 1s and 168h (7d)")
	}
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	d, err := c.Blob.DigestAt(ctx, gateway)
	if err != nil {
		return err
	}
	signed, err := gateway.Blob(d).SignURL(ctx, c.Expires)
	if err != nil {
		return report.Advise(err)
	}
	if c.JSON {
		return terminal.PrintJSON(std.Out, signed)
	}
	_, err = fmt.Fprintln(std.Out, signed.URL)
	return err
}
