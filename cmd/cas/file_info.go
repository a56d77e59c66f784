package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
)

// fileInfoCmd shows files.
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
		field("digest", "not known yet: the bytes of this imported file are not stored")
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
