package main

import (
	"context"
	"errors"
	"fmt"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// rmCmd deletes blobs.
type rmCmd struct {
	settings.Client

	Blobs      []argument.Blob `arg:"" name:"digest" help:"Digests, or hash URLs of this gateway."`
	Force      bool            `help:"Delete also blobs that files refer to."`
	Everywhere bool            `help:"Also delete their copies at all providers."`
	Wait       argument.Wait   `negatable:"" help:"With --everywhere: wait until the providers have confirmed it, also while a provider fails. --wait=DURATION waits at most that long for each blob; --no-wait does not wait. Without the flag the wait ends when a provider fails."`
	JSON       bool            `name:"json" help:"Print a JSON object for each blob; after a failure, its digest and the error."`
}

// deletedBlob is the JSON of a deleted blob.
type deletedBlob struct {
	Digest  cas.Digest `json:"digest"`
	Deleted bool       `json:"deleted"`
	Copies  []api.Copy `json:"copies,omitempty"` // with --everywhere
}

// Help returns the text that --help adds.
func (rmCmd) Help() string {
	return `Without --everywhere the copies at providers stay until the bytes are deleted, after the grace period. With it, the texts that providers extracted are deleted too, if nothing else needs them. ` + confirmedHelp + ` --everywhere also deletes the remaining copies of a blob that is deleted already.`
}

// Run deletes the blobs, one after the other.
func (c *rmCmd) Run(ctx context.Context, std terminal.Streams) error {
	if c.Wait.Given && !c.Everywhere {
		return exit.Usagef("--wait and --no-wait need --everywhere")
	}
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	digests := make([]cas.Digest, len(c.Blobs))
	unknown := make([]error, len(c.Blobs)) // nil where the digest is known
	for i, ref := range c.Blobs {          // all are checked before any is deleted
		digests[i], err = ref.DigestAt(ctx, gateway)
		if errors.Is(err, cas.ErrBlobNotFound) {
			unknown[i], err = err, nil
		}
		if err != nil {
			return err
		}
	}
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.JSON})
	defer shown.Close()
	var results report.Tally
	for i, d := range digests {
		if unknown[i] != nil {
			results.Add(unknown[i])
			if err := c.printFailure(shown, c.Blobs[i].String(), unknown[i]); err != nil {
				return err
			}
			continue
		}
		if err := c.remove(ctx, gateway, shown, &results, d); err != nil {
			return err
		}
	}
	return results.Err(ctx)
}

// remove deletes a blob. It returns an error only if the command must stop.
func (c *rmCmd) remove(ctx context.Context, gateway *client.Client, shown *terminal.Progress, results *report.Tally, d cas.Digest) error {
	gone, err := c.ask(ctx, gateway, shown, d)
	if report.StopsAll(ctx, err) {
		return report.Advise(err)
	}
	if err != nil || len(gone.Copies) == 0 { // otherwise the copies count
		results.Add(err)
	}
	if errors.Is(err, cas.ErrBlobInUse) {
		err = fmt.Errorf("%w; --force deletes it nevertheless", err)
	}
	switch {
	case err != nil:
		return c.printFailure(shown, d.String(), err)
	case c.JSON:
		report.Deletes{Shown: shown, Tally: results}.Count(gone.Copies)
		return terminal.PrintJSON(shown.Stdout(), deletedBlob{d, true, gone.Copies})
	}
	if _, err := fmt.Fprintf(shown.Stdout(), "%s deleted\n", d); err != nil {
		return err
	}
	report.NoteTexts(shown, gone.Texts)
	return report.Deletes{Shown: shown, Tally: results}.Print(gone.Copies)
}

// printFailure prints a blob that was not deleted.
func (c *rmCmd) printFailure(shown *terminal.Progress, blob string, err error) error {
	terminal.PrintError(shown.Stderr(), blob, err)
	if c.JSON {
		return terminal.PrintJSON(shown.Stdout(), statFailure{blob, report.NewJSONError(err)})
	}
	return nil
}

// ask asks the gateway to delete a blob. With Everywhere it returns the copies and texts,
// which are deleted too.
func (c *rmCmd) ask(ctx context.Context, gateway *client.Client, shown *terminal.Progress, d cas.Digest) (gone api.DeletedEverywhere, err error) {
	if !c.Everywhere {
		return gone, gateway.Blob(d).Delete(ctx, client.DeleteOptions{Force: c.Force})
	}
	defer shown.Waiting("deleting", d.Short())()
	err = deleteEverywhere(ctx, c.Wait, func(ctx context.Context, o client.EverywhereOptions) (deleted bool, err error) {
		o.Force = c.Force
		gone, err = gateway.Blob(d).DeleteEverywhere(ctx, o)
		return gone.State != "", err
	})
	return gone, err
}
