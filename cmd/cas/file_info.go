package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// fileInfoCmd tells about files.
type fileInfoCmd struct {
	settings.Client

	Files []argument.FileID `arg:"" name:"id" help:"Ids of files."`
	JSON  bool              `name:"json" help:"Print a JSON object for each file; after a failure, its id and the error."`
}

// fileAndCopies is a file with the copies of its bytes, as a JSON line.
type fileAndCopies struct {
	api.File
	Copies []api.Copy `json:"copies"`
}

// fileFailure is the JSON line of a file after a failure.
type fileFailure struct {
	ID    string            `json:"id"`
	Error *report.JSONError `json:"error"`
}

// Run prints the metadata of each file.
func (c *fileInfoCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	var files report.Tally
	for _, id := range c.Files {
		var info fileAndCopies
		info.File, err = gateway.File(string(id)).Meta(ctx)
		if err == nil {
			info.Copies, err = gateway.File(string(id)).Copies(ctx)
		}
		if report.StopsAll(ctx, err) {
			return report.Advise(err)
		}
		files.Add(err)
		switch {
		case err != nil:
			terminal.PrintError(std.Err, string(id), report.AdviseFile(err))
			if c.JSON {
				err = terminal.PrintJSON(std.Out, fileFailure{string(id), report.NewJSONError(err)})
			} else {
				err = nil
			}
		case c.JSON:
			err = terminal.PrintJSON(std.Out, info)
		default:
			err = printFile(std.Out, info)
		}
		if err != nil {
			return err
		}
	}
	return files.Err(ctx)
}

func printFile(w io.Writer, f fileAndCopies) error {
	out := &terminal.Lines{W: w}
	out.Printf("%s", f.ID)
	field := func(name, value string) {
		if value != "" {
			out.Printf("  %-10s  %s", name, value)
		}
	}
	field("name", terminal.Printable(f.Filename))
	field("size", fmt.Sprintf("%d (%s)", f.Bytes, terminal.Size(f.Bytes)))
	field("media type", terminal.Printable(f.MediaType))
	field("purpose", f.Purpose)
	field("context", terminal.Printable(f.Context))
	field("tags", terminal.Printable(strings.Join(f.Tags, ", ")))
	if metadata := string(f.Metadata); metadata != "{}" {
		field("metadata", terminal.Printable(metadata))
	}
	field("created", terminal.UnixTime(f.CreatedAt, ""))
	field("last read", terminal.UnixTime(f.LastAccessedAt, "never"))
	field("expires", terminal.UnixTime(f.ExpiresAt, "never"))
	if d := f.Digest(); d.IsZero() {
		field("digest", "not known yet: the bytes of this imported file have not been taken in")
	} else {
		field("digest", d.String())
	}
	field("URL", f.URL)
	if f.Status != api.FileProcessed {
		field("status", terminal.Printable(f.Status+": "+f.StatusDetails))
	}
	report.CopyRows(out, f.Copies)
	return out.Err
}

// fileLsCmd lists files.
type fileLsCmd struct {
	settings.Client

	Limit    int    `default:"0" help:"How many to print. 0: all."`
	Newest   bool   `help:"Newest first."`
	Purpose  string `placeholder:"PURPOSE" help:"Only those of this purpose."`
	Context  string `placeholder:"TEXT" help:"Only those of this context."`
	Tag      string `placeholder:"TAG" help:"Only those that have this tag."`
	Prefix   string `name:"name-prefix" placeholder:"TEXT" help:"Only those whose names begin so."`
	Digest   string `placeholder:"DIGEST" help:"Only those with these bytes."`
	Metadata string `placeholder:"JSON" help:"Only those whose metadata contains this JSON object."`
	JSON     bool   `name:"json" help:"Print a JSON object for each file."`
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
	if c.Limit < 0 {
		return o, exit.Usagef("--limit must not be negative")
	}
	if c.Limit > 0 {
		o.PageSize = min(c.Limit, maxListPage)
	}
	var err error
	if c.Digest != "" {
		o.Digest, err = cas.ParseDigest(c.Digest)
	}
	return o, err
}

func printFileRow(t *terminal.Table, f api.File) error {
	return t.Row(f.ID, terminal.Size(f.Bytes), terminal.UnixTime(f.CreatedAt, "-"), f.Purpose, terminal.Printable(f.Filename))
}
