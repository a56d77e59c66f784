package main

import (
	"context"
	"time"

	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// lsCmd lists blobs.
type lsCmd struct {
	settings.Client

	Limit     int                `default:"0" help:"How many to print. 0: all."`
	MediaType string             `placeholder:"TYPE" help:"Only blobs of this media type."`
	MinSize   *settings.ByteSize `placeholder:"SIZE" help:"Only blobs of at least this size, such as 1MiB."`
	MaxSize   *settings.ByteSize `placeholder:"SIZE" help:"Only blobs of at most this size."`
	JSON      bool               `name:"json" help:"Print a JSON object for each blob."`
}

// maxListPage is the most blobs that a gateway sends at a time.
const maxListPage = 1000

// Run prints blobs as they come, oldest first.
func (c *lsCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	table := terminal.Table{W: std.Out, Format: "%-71s  %9s  %-20s  %-24s  %s", Head: []any{"DIGEST", "SIZE", "CREATED", "MEDIA TYPE", "NAME"}}
	printed := 0
	for blob, err := range gateway.Blobs(ctx, c.options()) {
		if err != nil {
			return report.Advise(err)
		}
		if c.JSON {
			err = terminal.PrintJSON(std.Out, blob)
		} else {
			err = printRow(&table, blob)
		}
		if err != nil {
			return err
		}
		if printed++; printed == c.Limit {
			break
		}
	}
	return nil
}

func (c *lsCmd) options() client.BlobListOptions {
	o := client.BlobListOptions{MediaType: c.MediaType, MaxSize: (*int64)(c.MaxSize), PageSize: maxListPage}
	if c.MinSize != nil {
		o.MinSize = int64(*c.MinSize)
	}
	if c.Limit > 0 {
		o.PageSize = min(c.Limit, maxListPage)
	}
	return o
}

func printRow(t *terminal.Table, b api.Blob) error {
	return t.Row(b.Digest, terminal.Size(b.Size), b.CreatedAt.UTC().Format(time.RFC3339), terminal.Printable(b.MediaType), terminal.Printable(b.Name))
}
