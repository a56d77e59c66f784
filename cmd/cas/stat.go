package main

import (
	"cmp"
	"context"
	"io"
	"time"

	"casgate/gateway/api"
)

// statCmd tells about blobs.
type statCmd struct {
	clientConfig

	Blobs []blobRef `arg:"" name:"digest" help:"Digests, or hash URLs of this gateway."`
	JSON  bool      `name:"json" help:"Print a JSON object for each blob; of one that can't be told about, its digest and the error."`
}

// statFailure is the JSON line of a blob that can't be told about.
type statFailure struct {
	Digest string     `json:"digest"`
	Error  *jsonError `json:"error"`
}

// Run prints what the gateway knows of each blob.
func (c *statCmd) Run(ctx context.Context, std stdio) error {
	gateway, err := c.connect()
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
			printError(std.err, d.String(), err)
			if c.JSON {
				err = printJSON(std.out, statFailure{d.String(), newJSONError(err)})
			} else {
				err = nil
			}
		case c.JSON:
			err = printJSON(std.out, meta)
		default:
			err = printMeta(std.out, meta)
		}
		if err != nil {
			return err
		}
	}
	return blobs.err(ctx)
}

func printMeta(w io.Writer, m api.BlobMeta) error {
	out := &linePrinter{w: w}
	out.line(`%s
  size        %d (%s)
  media type  %s
  name        %s
  created     %s
  state       %s
  URL         %s`, m.Digest, m.Size, sizeText(m.Size), display(m.MediaType), display(m.Name), m.CreatedAt.Format(time.RFC3339), m.State, m.URL)
	label := "copies"
	for _, c := range m.Copies {
		id := cmp.Or(c.ProviderFileID, "-")
		if c.Simulated {
			id += "  SIMULATED"
		}
		out.line("  %-10s  %s  %s  %s  %s", label, c.Provider, c.Purpose, c.State, id)
		label = ""
	}
	return out.err
}
