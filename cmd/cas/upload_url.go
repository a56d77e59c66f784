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
	"casgate/gateway/client"
)

// uploadURLCmd makes an upload URL.
type uploadURLCmd struct {
	settings.Client

	Filename  string            `arg:"" help:"Name that the file gets."`
	Purpose   string            `default:"user_data" placeholder:"PURPOSE" help:"What the file is for, such as user_data, file-extract or batch."`
	Expires   time.Duration     `default:"10m" help:"How long the URL works; at most 1h."`
	MaxBytes  settings.ByteSize `default:"100MiB" placeholder:"SIZE" help:"Largest file that it takes."`
	Digest    argument.Blob     `placeholder:"DIGEST" help:"The only digest that the file may have; any if empty."`
	Providers []string          `name:"provider" aliases:"providers" placeholder:"PROVIDER" help:"Providers to make copies at, such as kimi,glm."`
	Curl      bool              `help:"Print the curl command that uploads a file, in place of the URL."`
	JSON      bool              `name:"json" help:"Print a JSON object."`
}

// Help returns the text that --help adds.
func (uploadURLCmd) Help() string {
	return `A client that has the URL can upload one file of that name without a token, until it expires or the token that made it is revoked: curl -T FILE 'URL'. The answer is the file, as of cas file put --json.`
}

// Run prints the URL, and nothing else.
func (c *uploadURLCmd) Run(ctx context.Context, std terminal.Streams) error {
	if c.Expires < time.Second || c.Expires > api.MaxUploadURLLife*time.Second {
		return exit.Usagef("--expires must be between 1s and 1h")
	}
	o := client.UploadURLOptions{Filename: c.Filename, Purpose: c.Purpose, Life: c.Expires, MaxBytes: int64(c.MaxBytes)}
	if c.Digest.String() != "" { // there need not be such a blob yet, so its beginning is no use
		d, err := c.Digest.Whole()
		if err != nil {
			return err
		}
		o.Digest = &d
	}
	var err error
	if o.Providers, err = argument.Providers(c.Providers); err != nil {
		return err
	}
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	signed, err := gateway.UploadURL(ctx, o)
	switch {
	case err != nil:
		return report.AdviseCopy(err)
	case c.JSON:
		return terminal.PrintJSON(std.Out, signed)
	case c.Curl:
		_, err = fmt.Fprintln(std.Out, signed.Curl)
	default:
		_, err = fmt.Fprintln(std.Out, signed.URL)
	}
	return err
}
