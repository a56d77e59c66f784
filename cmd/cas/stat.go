package main

import (
	"context"
	"errors"
	"io"
	"time"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
)

// statCmd shows blobs.
type statCmd struct {
	settings.Client

	Blobs []argument.Blob `arg:"" name:"digest" help:"Digests, or hash URLs of this gateway."`
	JSON  bool            `name:"json" help:"Print a JSON object for each blob; after a failure, its digest and the error."`
}

// statFailure is the JSON line of a blob after a failure.
type statFailure struct {
	Digest string            `json:"digest"` // or the beginning that was given, if no digest begins so
	Error  *report.JSONError `json:"error"`
}

// Run prints the metadata of each blob.
func (c *statCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	var blobs report.Tally
	for _, ref := range c.Blobs {
		var meta api.BlobMeta
		name := ref.String()
		d, err := ref.DigestAt(ctx, gateway)
		switch {
		case err == nil:
			name = d.String()
			meta, err = gateway.Blob(d).Meta(ctx)
		case !errors.Is(err, cas.ErrBlobNotFound): // nothing to do with this blob alone
			return err
		}
		if report.StopsAll(ctx, err) {
			return report.Advise(err)
		}
		blobs.Add(err)
		switch {
		case err != nil:
			terminal.PrintError(std.Err, name, err)
			if c.JSON {
				err = terminal.PrintJSON(std.Out, statFailure{name, report.NewJSONError(err)})
			} else {
				err = nil
			}
		case c.JSON:
			err = terminal.PrintJSON(std.Out, meta)
		default:
			err = printMeta(std.Out, meta)
		}
		if err != nil {
			return err
		}
	}
	return blobs.Err(ctx)
}

func printMeta(w io.Writer, m api.BlobMeta) error {
	out := &terminal.Lines{W: w}
	out.Printf(`%s
  size        %d (%s)
  media type  %s
  name        %s
  created     %s
  state       %s
  URL         %s`, m.Digest, m.Size, terminal.Size(m.Size), terminal.Printable(m.MediaType), terminal.Printable(m.Name), m.CreatedAt.Format(time.RFC3339), m.State, m.URL)
	report.CopyRows(out, m.Copies)
	return out.Err
}
