package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"casgate/gateway/api"
	"casgate/gateway/client"
)

// lsCmd lists blobs.
type lsCmd struct {
	clientConfig

	Limit     int       `default:"0" help:"How many to print; 0 means all."`
	MediaType string    `placeholder:"TYPE" help:"Only those of this media type."`
	MinSize   *byteSize `placeholder:"SIZE" help:"Only those at least this large, such as 1MiB."`
	MaxSize   *byteSize `placeholder:"SIZE" help:"Only those at most this large."`
	JSON      bool      `name:"json" help:"Print a JSON object for each blob."`
}

// maxListPage is the most blobs that a gateway sends at a time.
const maxListPage = 1000

// Run prints blobs as they come, oldest first.
func (c *lsCmd) Run(ctx context.Context, std stdio) error {
	if c.Limit < 0 {
		return usageError{errors.New("--limit must not be negative")}
	}
	gateway, err := c.connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	printed := 0
	for blob, err := range gateway.List(ctx, c.options()) {
		if err != nil {
			return advise(err)
		}
		if c.JSON {
			err = printJSON(std.out, blob)
		} else {
			err = printRow(std.out, blob, printed == 0)
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

func (c *lsCmd) options() client.ListOptions {
	o := client.ListOptions{MediaType: c.MediaType, MaxSize: (*int64)(c.MaxSize), PageSize: maxListPage}
	if c.MinSize != nil {
		o.MinSize = int64(*c.MinSize)
	}
	if c.Limit > 0 {
		o.PageSize = min(c.Limit, maxListPage)
	}
	return o
}

// printRow prints a row of the table, and its head before the first one. The
// columns have fixed widths, so that no row waits for those to come.
func printRow(w io.Writer, b api.Blob, first bool) error {
	const row = "%-71s  %9s  %-20s  %-24s  %s"
	line := func(cells ...any) error {
		_, err := fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf(row, cells...), " "))
		return err
	}
	if first {
		if err := line("DIGEST", "SIZE", "CREATED", "MEDIA TYPE", "NAME"); err != nil {
			return err
		}
	}
	return line(b.Digest, sizeText(b.Size), b.CreatedAt.UTC().Format(time.RFC3339), display(b.MediaType), display(b.Name))
}
