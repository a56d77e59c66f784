package main

import (
	"context"
	"encoding/json"

	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// fileLsCmd lists files.
type fileLsCmd struct {
	settings.Client

	Limit    int           `default:"0" help:"How many to print. 0: all."`
	Newest   bool          `help:"Newest first."`
	Purpose  string        `placeholder:"PURPOSE" help:"Only those of this purpose."`
	Context  string        `placeholder:"TEXT" help:"Only those of this context."`
	Tag      string        `placeholder:"TAG" help:"Only those that have this tag."`
	Prefix   string        `name:"name-prefix" placeholder:"TEXT" help:"Only those whose names begin so."`
	Digest   argument.Blob `placeholder:"DIGEST" help:"Only those with these bytes."`
	Metadata string        `placeholder:"JSON" help:"Only those whose metadata contains this JSON object."`
	JSON     bool          `name:"json" help:"Print a JSON object for each file."`
}

// Run prints files as they come.
func (c *fileLsCmd) Run(ctx context.Context, std terminal.Streams) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	if o.Digest, err = c.Digest.Filter(ctx, gateway); err != nil {
		return report.Advise(err)
	}
	table := terminal.Table{
		// The longest ids are those of imported rows without a UUID.
		W: std.Out, Format: "%-45s  %9s  %-20s  %-16s  %s", Head: []any{"ID", "SIZE", "CREATED", "PURPOSE", "NAME"},
	}
	printed := 0
	for file, err := range gateway.Files(ctx, o) {
		if err != nil {
			return report.AdviseFile(err)
		}
		if c.JSON {
			err = terminal.PrintJSON(std.Out, file)
		} else {
			err = printFileRow(&table, file)
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

func (c *fileLsCmd) options() (client.FileListOptions, error) {
	o := client.FileListOptions{
		Purpose: c.Purpose, Context: c.Context, Tag: c.Tag, NamePrefix: c.Prefix,
		Metadata: json.RawMessage(c.Metadata), Descending: c.Newest, PageSize: maxListPage,
	}
	if c.Limit > 0 {
		o.PageSize = min(c.Limit, maxListPage)
	}
	return o, nil
}

func printFileRow(t *terminal.Table, f api.File) error {
	return t.Row(f.ID, terminal.Size(f.Bytes), terminal.UnixTime(f.CreatedAt, "-"), f.Purpose, terminal.Printable(f.Filename))
}
