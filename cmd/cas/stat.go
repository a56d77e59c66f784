package main

import (
	"cmp"
	"context"
	"io"
	"time"

	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
)

// statCmd tells about blobs.
type statCmd struct {
	settings.Client

	Blobs []blobRef `arg:"" name:"digest" help:"Digests, or hash URLs of this gateway."`
	JSON  bool      `name:"json" help:"Print a JSON object for each blob; of one that can't be told about, its digest and the error."`
}

// statFailure is the JSON line of a blob that can't be told about.
type statFailure struct {
	Digest string     `json:"digest"`
	Error  *jsonError `json:"error"`
}

// Run prints what the gateway knows of each blob.
func (c *statCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	var blobs tally
	for _, ref := range c.Blobs {
		d, err := ref.digestAt(gateway)
		if err != nil {
			return err
		}
		meta, err := gateway.Meta(ctx, d)
		if concernsAll(ctx, err) {
			return advise(err)
		}
		blobs.add(err)
		switch {
		case err != nil:
			terminal.PrintError(std.Err, d.String(), err)
			if c.JSON {
				err = terminal.PrintJSON(std.Out, statFailure{d.String(), newJSONError(err)})
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
	return blobs.err(ctx)
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
	label := "copies"
	for _, c := range m.Copies {
		id := cmp.Or(c.ProviderFileID, "-")
		if c.Simulated {
			id += "  SIMULATED"
		}
		out.Printf("  %-10s  %s  %s  %s  %s", label, c.Provider, c.Purpose, c.State, id)
		label = ""
	}
	return out.Err
}
