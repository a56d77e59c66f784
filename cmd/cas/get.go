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
	Output string        `short:"o" placeholder:"FILE" help:"Output: a file, a folder (for a file with the name of the blob), or - for standard output. If empty: standard output, or a file with the name of the blob if standard output is a terminal."`
	Force  bool          `help:"Replace an existing file."`
	Quiet  bool          `short:"q" help:"Print no progress and no notes, only errors."`
}

// Help returns the text that --help adds.
func (getCmd) Help() string {
	return `The bytes are verified. The file gets its name only after that. An existing file is not replaced without --force. The bytes of an interrupted download are kept beside the file, in a file whose name ends with .partial, and the same command resumes from there.

On standard output the last bytes are held back until all bytes are verified. The exit code says whether they are right.`
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
