package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/gateway/client"
)

// existsCmd checks which blobs the gateway has.
type existsCmd struct {
	settings.Client

	Blobs []argument.Content `arg:"" name:"digest|file" help:"Digests, hash URLs of this gateway, or local files, which are read and not sent."`
	JSON  bool               `name:"json" help:"Print a JSON object for each."`
	Quiet bool               `short:"q" help:"Print no progress, only results and errors."`
}

// Help returns the text that --help adds.
func (existsCmd) Help() string {
	return `Standard output has a line for each argument: "present" or "missing", a tab, the digest, a tab, and the argument. The digest is "-" where no digest begins as the argument does.

Exit codes: 0 if all are present, 3 if none is, 7 if some are missing or could not be read, 1 if none could be read.`
}

// existence is the result of one argument.
type existence struct {
	Path   string      `json:"path,omitempty"` // of a local file
	Digest *cas.Digest `json:"digest,omitempty"`
	Prefix string      `json:"prefix,omitempty"` // as it was given, if no digest begins so
	// Present is nil if it is not known.
	Present *bool             `json:"present,omitempty"`
	Error   *report.JSONError `json:"error,omitempty"`

	given string
	err   error
}

// errMissing is the failure of a blob that isn't there.
var errMissing = exit.With(exit.NotFound, errors.New("missing"))

// Run asks for all blobs in one request, and prints the answers.
func (c *existsCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	all := make([]existence, len(c.Blobs))
	var digests []cas.Digest
	for i, s := range c.Blobs {
		if all[i], err = c.look(ctx, gateway, shown, s); err != nil {
			return err
		}
		if all[i].Digest != nil {
			digests = append(digests, *all[i].Digest)
		}
	}
	missing, err := gateway.FindMissing(ctx, digests)
	if err != nil {
		return report.Advise(err)
	}
	lacking := map[cas.Digest]bool{}
	for _, d := range missing {
		lacking[d] = true
	}
	var results report.Tally
	for _, e := range all {
		switch {
		case e.Digest != nil:
			e.Present = new(!lacking[*e.Digest])
		case e.Prefix != "":
			e.Present = new(false)
		}
		if e.Present != nil && !*e.Present {
			e.err = errMissing
		}
		results.Add(e.err)
		if err := c.print(shown, e); err != nil {
			return err
		}
	}
	return results.Err(ctx)
}

// look finds the digest of an argument.
func (c *existsCmd) look(ctx context.Context, gateway *client.Client, shown *terminal.Progress, s argument.Content) (existence, error) {
	if s.File != "" {
		return existence{}, exit.Usagef("%s is the id of a file; `cas file info` shows it", s.File)
	}
	if s.Path == "" {
		d, err := s.Blob.DigestAt(ctx, gateway)
		if errors.Is(err, cas.ErrBlobNotFound) {
			return existence{Prefix: s.Blob.String(), given: s.Blob.String()}, nil
		}
		return existence{Digest: &d, given: s.Blob.String()}, err
	}
	e := existence{Path: s.Path, given: s.Path}
	item := transfer.LocalItem(s.Path)
	if e.err = item.Err; e.err != nil {
		return e, nil
	}
	if item.Streamed {
		e.err = errors.New("it can be read only once; store it with `cas put`, which says whether it was there")
		return e, nil
	}
	u := &transfer.Uploader{Gateway: gateway, Parallel: 1, Shown: shown}
	source, err := client.NewSource(func() (io.ReadCloser, error) { return u.Open(ctx, s.Path, "reading") })
	if ctx.Err() != nil {
		return e, context.Cause(ctx)
	}
	if e.err = transfer.WithoutPath(err); e.err == nil {
		e.Digest = &source.Digest
	}
	return e, nil
}

func (c *existsCmd) print(shown *terminal.Progress, e existence) error {
	if e.Present == nil {
		terminal.PrintError(shown.Stderr(), e.given, e.err)
	}
	if c.JSON {
		if e.Present == nil {
			e.Error = report.NewJSONError(e.err)
		}
		return terminal.PrintJSON(shown.Stdout(), e)
	}
	if e.Present == nil {
		return nil
	}
	word, digest := "present", "-"
	if !*e.Present {
		word = "missing"
	}
	if e.Digest != nil {
		digest = e.Digest.String()
	}
	_, err := fmt.Fprintf(shown.Stdout(), "%s\t%s\t%s\n", word, digest, terminal.Printable(e.given))
	return err
}
