package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/client"
)

// duCmd counts blobs and their bytes.
type duCmd struct {
	settings.Client

	JSON  bool `name:"json" help:"Print a JSON object for each media type, and one for all."`
	Quiet bool `short:"q" help:"Print no progress, only results and errors."`
}

// Help returns the text that --help adds.
func (duCmd) Help() string {
	return `Each blob counts once, however many files and copies it has. The gateway lists its blobs for that, a thousand at a time.`
}

// usage is what the blobs of one media type take.
type usage struct {
	MediaType string `json:"media_type,omitempty"` // empty: of all
	Blobs     int64  `json:"blobs"`
	Bytes     int64  `json:"bytes"`
}

// Run prints the largest media type first, and the sum last.
func (c *duCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	counter := shown.Counting("counting blobs", 0, func() string { return "" })
	defer counter.Done()
	types := map[string]*usage{}
	all := usage{}
	for blob, err := range gateway.Blobs(ctx, client.BlobListOptions{PageSize: maxListPage}) {
		if err != nil {
			return report.Advise(err)
		}
		one, ok := types[blob.MediaType]
		if !ok {
			one = &usage{MediaType: blob.MediaType}
			types[blob.MediaType] = one
		}
		for _, u := range []*usage{one, &all} {
			u.Blobs++
			u.Bytes += blob.Size
		}
		counter.Set(all.Blobs)
	}
	counter.Done()
	sorted := slices.SortedFunc(maps.Values(types), func(a, b *usage) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.MediaType, b.MediaType))
	})
	return c.print(shown, append(sorted, &all))
}

func (c *duCmd) print(shown *terminal.Progress, rows []*usage) error {
	table := terminal.Table{W: shown.Stdout(), Format: "%9s  %9s  %s", Head: []any{"SIZE", "BLOBS", "MEDIA TYPE"}}
	for _, u := range rows {
		var err error
		if c.JSON {
			err = terminal.PrintJSON(shown.Stdout(), u)
		} else {
			err = table.Row(terminal.Size(u.Bytes), strconv.FormatInt(u.Blobs, 10), terminal.Printable(cmp.Or(u.MediaType, "all")))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
