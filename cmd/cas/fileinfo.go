package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// fileInfoCmd tells about files.
type fileInfoCmd struct {
	clientConfig

	Files []fileID `arg:"" name:"id" help:"Ids of files."`
	JSON  bool     `name:"json" help:"Print a JSON object for each file; of one that can't be told about, its id and the error."`
}

// fileAndCopies is a file with the copies of its bytes, as a JSON line.
type fileAndCopies struct {
	api.File
	Copies []api.Copy `json:"copies"`
}

// fileFailure is the JSON line of a file that can't be told about.
type fileFailure struct {
	ID    string     `json:"id"`
	Error *jsonError `json:"error"`
}

// Run prints what the gateway knows of each file.
func (c *fileInfoCmd) Run(ctx context.Context, std stdio) error {
	gateway, err := c.connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	var files tally
	for _, id := range c.Files {
		var info fileAndCopies
		info.File, err = gateway.File(ctx, string(id))
		if err == nil {
			info.Copies, err = gateway.FileCopies(ctx, string(id))
		}
		if concernsAll(ctx, err) {
			return advise(err)
		}
		files.add(err)
		switch {
		case err != nil:
			printError(std.err, string(id), adviseFile(err))
			if c.JSON {
				err = printJSON(std.out, fileFailure{string(id), newJSONError(err)})
			} else {
				err = nil
			}
		case c.JSON:
			err = printJSON(std.out, info)
		default:
			err = printFile(std.out, info)
		}
		if err != nil {
			return err
		}
	}
	return files.err(ctx)
}

func printFile(w io.Writer, f fileAndCopies) error {
	out := &linePrinter{w: w}
	out.line("%s", f.ID)
	field := func(name, value string) {
		if value != "" {
			out.line("  %-10s  %s", name, value)
		}
	}
	field("name", display(f.Filename))
	field("size", fmt.Sprintf("%d (%s)", f.Bytes, sizeText(f.Bytes)))
	field("media type", display(f.MediaType))
	field("purpose", f.Purpose)
	field("context", display(f.Context))
	field("tags", display(strings.Join(f.Tags, ", ")))
	if metadata := string(f.Metadata); metadata != "{}" {
		field("metadata", display(metadata))
	}
	field("created", secondsText(f.CreatedAt, ""))
	field("last read", secondsText(f.LastAccessedAt, "never"))
	field("expires", secondsText(f.ExpiresAt, "never"))
	if d := f.Digest(); d.IsZero() {
		field("digest", "not known yet: the bytes of this imported file have not been taken in")
	} else {
		field("digest", d.String())
	}
	field("URL", f.URL)
	if f.Status != api.FileProcessed {
		field("status", display(f.Status+": "+f.StatusDetails))
	}
	label := "copies"
	for _, one := range f.Copies {
		id := cmp.Or(one.ProviderFileID, "-")
		if one.Simulated {
			id += "  SIMULATED"
		}
		out.line("  %-10s  %s  %s  %s  %s", label, one.Provider, one.Purpose, one.State, id)
		label = ""
	}
	return out.err
}

// secondsText is a time in seconds since 1970, for people.
func secondsText(seconds int64, none string) string {
	if seconds == 0 {
		return none
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}

// fileLsCmd lists files.
type fileLsCmd struct {
	clientConfig

	Limit    int    `default:"0" help:"How many to print; 0 means all."`
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
func (c *fileLsCmd) Run(ctx context.Context, std stdio) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	gateway, err := c.connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	printed := 0
	for file, err := range gateway.Files(ctx, o) {
		if err != nil {
			return adviseFile(err)
		}
		if c.JSON {
			err = printJSON(std.out, file)
		} else {
			err = printFileRow(std.out, file, printed == 0)
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
		return o, usageError{errors.New("--limit must not be negative")}
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

// printFileRow prints a row of the table, and its head before the first one. The
// columns have fixed widths, so that no row waits for those to come; the longest ids
// are those of imported rows that had no UUID.
func printFileRow(w io.Writer, f api.File, first bool) error {
	const row = "%-45s  %9s  %-20s  %-16s  %s"
	line := func(cells ...any) error {
		_, err := fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf(row, cells...), " "))
		return err
	}
	if first {
		if err := line("ID", "SIZE", "CREATED", "PURPOSE", "NAME"); err != nil {
			return err
		}
	}
	return line(f.ID, sizeText(f.Bytes), secondsText(f.CreatedAt, "-"), f.Purpose, display(f.Filename))
}
