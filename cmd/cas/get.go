package main

import (
	"context"
	"errors"
	"fmt"

	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// getCmd fetches a blob.
type getCmd struct {
	settings.Client

	Blob   argument.Blob `arg:"" name:"digest|url" help:"Digest, hash URL or signed URL. A signed URL needs no token."`
	Output string        `short:"o" placeholder:"FILE" help:"Where to: a file, a folder (for a file of the blob's own name), or - for standard output. If empty: standard output unless that is a terminal, else a file of the blob's own name."`
	Force  bool          `help:"Replace the file if there is one."`
	Quiet  bool          `short:"q" help:"Print no progress and no notes, only errors."`
}

// Help is what --help adds.
func (getCmd) Help() string {
	return `The bytes are verified. A file gets its name only once they were found right, and one that has that name already is left alone without --force. What came of a download that was interrupted is kept beside the file, with .partial at the end of its name, and the same command goes on from there.

On standard output the last bytes are withheld until all were found right; the exit code says whether they were.`
}

// Run fetches the blob.
func (c *getCmd) Run(ctx context.Context, std terminal.Streams) error {
	from, err := c.origin()
	if err != nil {
		return err
	}
	defer from.Gateway.Close()
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	err = transfer.Output{Path: c.Output, Force: c.Force, Shown: shown}.Fetch(ctx, from)
	if errors.Is(err, problem.Unauthenticated) && from.Elsewhere {
		return fmt.Errorf("%w; no token was sent, since %s is not the gateway of CAS_URL; set that, or give the digest alone", err, from.Gateway.BaseURL())
	}
	return report.Advise(err)
}

// origin finds out where to fetch from. A token goes to no gateway but that of
// CAS_URL, whatever URL is given.
func (c *getCmd) origin() (*transfer.Origin, error) {
	o := &transfer.Origin{Digest: c.Blob.Digest, Options: client.OpenOptions{Signature: c.Blob.Signature}}
	var err error
	if c.Blob.Signature == nil {
		if o.Gateway, err = c.Connect(); err != nil {
			return nil, err
		}
		if c.Blob.Base == "" || c.Blob.Base == o.Gateway.BaseURL() {
			return o, nil
		}
		o.Gateway.Close()
	}
	o.Elsewhere = true
	if o.Gateway, err = settings.ClientOf(c.Blob.Base, client.Options{}); err != nil {
		return nil, err
	}
	return o, nil
}
