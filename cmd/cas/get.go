package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// getCmd fetches blobs.
type getCmd struct {
	settings.Client

	Blobs    []argument.Blob `arg:"" name:"digest|url" help:"Digests, hash URLs or signed URLs. A signed URL needs no token."`
	Output   string          `short:"o" placeholder:"FILE" help:"Output: a file, a folder (for a file with the name of the blob), or - for standard output. If empty: standard output, or a file with the name of the blob if standard output is a terminal. For several blobs: a folder; the working folder if empty."`
	Force    bool            `help:"Replace existing files."`
	Parallel int             `default:"4" help:"How many blobs to fetch at once."`
	JSON     bool            `name:"json" help:"Print a JSON object for each blob, with the path that was written; needs an output that is not standard output."`
	Verbose  bool            `short:"v" help:"Print a line for each of many blobs, in place of one bar and a summary."`
	Quiet    bool            `short:"q" help:"Print no progress and no notes, only errors."`
}

// Help returns the text that --help adds.
func (getCmd) Help() string {
	return `The bytes are verified. The file gets its name only after that. An existing file is not replaced without --force. The bytes of an interrupted download are kept beside the file, in a file whose name ends with .partial, and the same command resumes from there.

On standard output a download resumes within the command only, and the last bytes are held back until all bytes are verified. The exit code says whether they are right. Of several blobs, one that fails doesn't stop the others; if some failed, the exit code is 7.`
}

// fetchedJSON is the JSON of a blob or file that was written.
type fetchedJSON struct {
	Blob      string            `json:"blob,omitempty"` // of several blobs: as it was given
	File      string            `json:"file,omitempty"` // the id, of a file
	Digest    *cas.Digest       `json:"digest,omitempty"`
	Size      *int64            `json:"size,omitempty"`
	MediaType string            `json:"media_type,omitempty"`
	Name      string            `json:"name,omitempty"`
	Provider  string            `json:"provider,omitempty"` // of bytes that a provider returned, unverified
	Path      string            `json:"path,omitempty"`
	Error     *report.JSONError `json:"error,omitempty"`
}

// take takes over what was fetched, verified.
func (f *fetchedJSON) take(fetched transfer.Fetched) {
	f.Digest, f.Size, f.MediaType, f.Name, f.Path = &fetched.Digest, &fetched.Size, fetched.MediaType, fetched.Name, fetched.Path
}

// checkJSONOutput refuses JSON on standard output beside the bytes.
func checkJSONOutput(output transfer.Output, json bool) error {
	if json && output.IsStdout() {
		return exit.Usagef("--json needs -o FILE or -o FOLDER: standard output can't have the bytes and JSON")
	}
	return nil
}

// Run fetches the blobs.
func (c *getCmd) Run(ctx context.Context, std terminal.Streams) error {
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	output := transfer.Output{Path: c.Output, Force: c.Force, Shown: shown}
	if len(c.Blobs) > 1 {
		if err := c.checkFolder(); err != nil {
			return err
		}
		output.Path = c.folder()
	}
	if err := checkJSONOutput(output, c.JSON); err != nil {
		return err
	}
	if len(c.Blobs) == 1 {
		fetched, err := c.fetch(ctx, c.Blobs[0], output)
		if err != nil || !c.JSON {
			return report.Advise(err)
		}
		return c.printJSON(shown, "", fetched, nil)
	}
	return c.fetchAll(ctx, output)
}

// folder is the output of several blobs.
func (c *getCmd) folder() string {
	if c.Output == "" {
		return "."
	}
	return c.Output
}

// checkFolder makes sure that several blobs go to a folder that exists.
func (c *getCmd) checkFolder() error {
	info, err := os.Stat(c.folder())
	switch {
	case c.Parallel < 1:
		return exit.Usagef("--parallel must be at least 1")
	case c.Output == argument.StdoutPath:
		return exit.Usagef("several blobs can't go to standard output; give a folder with -o")
	case err != nil || !info.IsDir():
		return exit.Usagef("%s is not a folder; several blobs need one, with -o FOLDER", c.folder())
	}
	return nil
}

// fetchAll fetches several blobs, and prints the results in the order of the arguments.
func (c *getCmd) fetchAll(ctx context.Context, output transfer.Output) error {
	type result struct {
		fetched transfer.Fetched
		err     error
	}
	results := make([]result, len(c.Blobs))
	output.Names = new(transfer.OutputNames)
	many := transfer.NewMany(transfer.ManyOptions{Shown: output.Shown, Verb: "fetching", Noun: "blobs", Total: len(c.Blobs)})
	defer many.End()
	output.NoNotes = many != nil && !c.Verbose
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(c.Parallel)
	for i, blob := range c.Blobs {
		group.Go(func() error {
			r := &results[i]
			if r.err = context.Cause(working); working.Err() == nil {
				r.fetched, r.err = c.fetch(working, blob, output)
				many.Finished(transfer.ResultFetched, r.fetched.Size, r.err)
			}
			if report.StopsAll(ctx, r.err) {
				return r.err
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return report.Advise(err)
	}
	var tally report.Tally
	for i, r := range results {
		tally.Add(r.err)
		if r.err != nil {
			terminal.PrintError(output.Shown.Stderr(), c.Blobs[i].String(), r.err)
		}
		if !c.JSON {
			continue
		}
		if err := c.printJSON(output.Shown, c.Blobs[i].String(), r.fetched, r.err); err != nil {
			return err
		}
	}
	return tally.Err(ctx)
}

func (c *getCmd) printJSON(shown *terminal.Progress, blob string, fetched transfer.Fetched, err error) error {
	result := fetchedJSON{Blob: blob, Error: report.NewJSONError(err)}
	if err == nil {
		result.take(fetched)
	}
	return terminal.PrintJSON(shown.Stdout(), result)
}

// fetch fetches one blob.
func (c *getCmd) fetch(ctx context.Context, blob argument.Blob, output transfer.Output) (transfer.Fetched, error) {
	from, err := c.origin(ctx, blob)
	if err != nil {
		return transfer.Fetched{}, err
	}
	defer from.Gateway.Close()
	fetched, err := output.Fetch(ctx, from)
	if errors.Is(err, problem.Unauthenticated) && from.Elsewhere {
		err = fmt.Errorf("%w; no token was sent, since %s is not the gateway of CAS_URL; set that, or give the digest alone", err, from.Gateway.BaseURL())
	}
	return fetched, err
}

// origin finds out where to fetch from. A token goes to no gateway but that of
// CAS_URL, whatever URL is given.
func (c *getCmd) origin(ctx context.Context, blob argument.Blob) (*transfer.Origin, error) {
	o := &transfer.Origin{Digest: blob.Digest, Options: client.OpenOptions{Signature: blob.Signature}}
	var err error
	if blob.Signature == nil {
		if o.Gateway, err = c.Connect(); err != nil {
			return nil, err
		}
		if blob.Base == "" || blob.Base == o.Gateway.BaseURL() {
			o.Digest, err = blob.DigestAt(ctx, o.Gateway)
			return o, err
		}
		o.Gateway.Close()
	}
	o.Elsewhere = true
	if o.Gateway, err = settings.ClientOf(blob.Base, client.Options{}); err != nil {
		return nil, err
	}
	return o, nil
}
