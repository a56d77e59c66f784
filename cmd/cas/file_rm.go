package main

import (
	"context"
	"fmt"

	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// fileRmCmd deletes files.
type fileRmCmd struct {
	settings.Client

	Files      []argument.FileID `arg:"" name:"id" help:"Ids of files."`
	At         []string          `name:"provider" aliases:"at" placeholder:"PROVIDER" xor:"where" help:"Delete only the copies at these providers, such as kimi,glm. The files stay."`
	Everywhere bool              `xor:"where" help:"Delete the files, their bytes, and the copies at all providers."`
	Wait       argument.Wait     `negatable:"" help:"With --everywhere: wait until the providers have confirmed it, also while a provider fails. --wait=DURATION waits at most that long for each file; --no-wait does not wait. Without the flag the wait ends when a provider fails."`
	JSON       bool              `name:"json" help:"Print a JSON object for each file, with --provider for each copy."`
}

// Help returns the text that --help adds.
func (fileRmCmd) Help() string {
	return `Without --provider and --everywhere only the file is deleted. Its bytes and their copies stay; cas rm deletes those.

With --everywhere the bytes can't be read any more. If other files have the same bytes, the bytes and their copies stay, and the command says so. Reads that have begun continue to the end.

` + confirmedHelp + ` An interrupted delete can be repeated.`
}

// Run deletes the files, one after the other.
func (c *fileRmCmd) Run(ctx context.Context, std terminal.Streams) error {
	if c.Wait.Given && !c.Everywhere {
		return exit.Usagef("--wait and --no-wait need --everywhere")
	}
	at, err := argument.Providers(c.At)
	if err != nil {
		return err
	}
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.JSON})
	defer shown.Close()
	var results report.Tally
	r := fileRemoval{gateway: gateway, shown: shown, results: &results, json: c.JSON}
	for _, id := range c.Files {
		switch {
		case len(at) > 0:
			err = r.removeCopies(ctx, string(id), at)
		case c.Everywhere:
			err = r.removeEverywhere(ctx, string(id), c.Wait)
		default:
			err = r.remove(ctx, string(id))
		}
		if err != nil {
			return err
		}
	}
	return results.Err(ctx)
}

// fileRemoval deletes files, prints each result and counts it. Its methods return an
// error only if the command must stop.
type fileRemoval struct {
	gateway *client.Client
	shown   *terminal.Progress
	results *report.Tally
	json    bool
}

// remove deletes a file.
func (r fileRemoval) remove(ctx context.Context, id string) error {
	err := r.gateway.File(id).Delete(ctx)
	if report.StopsAll(ctx, err) {
		return report.Advise(err)
	}
	r.results.Add(err)
	switch {
	case err != nil && r.json:
		terminal.PrintError(r.shown.Stderr(), id, report.AdviseFile(err))
		return terminal.PrintJSON(r.shown.Stdout(), fileFailure{id, report.NewJSONError(err)})
	case err != nil:
		terminal.PrintError(r.shown.Stderr(), id, report.AdviseFile(err))
		return nil
	case r.json:
		return terminal.PrintJSON(r.shown.Stdout(), api.FileDeleted{ID: id, Object: api.ObjectFile, Deleted: true})
	}
	_, err = fmt.Fprintf(r.shown.Stdout(), "%s deleted\n", id)
	return err
}

// removeCopies deletes a file's copies at some providers.
func (r fileRemoval) removeCopies(ctx context.Context, id string, at []string) error {
	for _, provider := range at {
		deleted, err := r.gateway.File(id).DeleteCopies(ctx, provider, "")
		if report.StopsAll(ctx, err) {
			return report.Advise(err)
		}
		if err != nil {
			r.results.Add(err)
			terminal.PrintError(r.shown.Stderr(), id+" at "+provider, report.AdviseFile(err))
		}
		if err := (report.Deletes{Shown: r.shown, Tally: r.results, JSON: r.json}).Print(deleted); err != nil {
			return err
		}
	}
	return nil
}

// removeEverywhere deletes a file, its bytes and their copies.
func (r fileRemoval) removeEverywhere(ctx context.Context, id string, wait argument.Wait) error {
	var gone api.FileDeletedEverywhere
	done := r.shown.Waiting("deleting", id)
	err := deleteEverywhere(ctx, wait, func(ctx context.Context, o client.EverywhereOptions) (deleted bool, err error) {
		gone, err = r.gateway.File(id).DeleteEverywhere(ctx, o)
		return gone.Deleted, err
	})
	done()
	if report.StopsAll(ctx, err) {
		return report.Advise(err)
	}
	if !gone.Deleted {
		r.results.Add(err)
		terminal.PrintError(r.shown.Stderr(), id, report.AdviseFile(err))
		if r.json {
			return terminal.PrintJSON(r.shown.Stdout(), fileFailure{id, report.NewJSONError(err)})
		}
		return nil
	}
	r.results.Add(nil)
	kept := gone.Blob != nil && gone.Blob.State == api.BlobKept
	if kept {
		defer r.shown.Note("%s stays: %s", gone.Blob.Digest, gone.Blob.Reason)
	}
	if r.json {
		if !kept {
			report.Deletes{Shown: r.shown, Tally: r.results}.Count(gone.Copies)
		}
		return terminal.PrintJSON(r.shown.Stdout(), gone)
	}
	if _, err := fmt.Fprintf(r.shown.Stdout(), "%s deleted\n", id); err != nil || kept || gone.Blob == nil {
		return err
	}
	if _, err := fmt.Fprintf(r.shown.Stdout(), "%s deleted\n", gone.Blob.Digest); err != nil {
		return err
	}
	report.NoteTexts(r.shown, gone.Texts)
	return report.Deletes{Shown: r.shown, Tally: r.results}.Print(gone.Copies)
}
