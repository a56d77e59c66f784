package main

import (
	"context"
	"errors"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
)

// copiesRmCmd deletes copies.
type copiesRmCmd struct {
	settings.Client

	Blobs   []argument.Stored `arg:"" name:"blob" help:"Digests, hash URLs of this gateway, or ids of files."`
	From    []string          `name:"provider" aliases:"from" required:"" placeholder:"PROVIDER" help:"Providers to delete the copies at, such as kimi,glm."`
	Purpose string            `placeholder:"PURPOSE" help:"Only those of this purpose."`
	JSON    bool              `name:"json" help:"Print a JSON object for each copy."`
}

// Help returns the text that --help adds.
func (copiesRmCmd) Help() string {
	return confirmedHelp
}

// Run deletes the copies, one after the other.
func (c *copiesRmCmd) Run(ctx context.Context, std terminal.Streams) error {
	from, err := argument.SomeProviders(c.From)
	if err != nil {
		return err
	}
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	owners := make([]transfer.Owner, len(c.Blobs))
	unknown := make([]error, len(c.Blobs)) // nil where the owner is known
	for i, ref := range c.Blobs {          // all are checked before any copy is deleted
		owners[i], err = transfer.OwnerOf(ctx, gateway, ref)
		if errors.Is(err, cas.ErrBlobNotFound) {
			unknown[i], err = err, nil
		}
		if err != nil {
			return err
		}
	}
	var results report.Tally
	deletes := report.Deletes{Shown: terminal.NewProgress(std, terminal.ProgressOptions{NoBars: true}), Tally: &results, JSON: c.JSON}
	for i, of := range owners {
		if unknown[i] != nil {
			results.Add(unknown[i])
			terminal.PrintError(std.Err, c.Blobs[i].String(), unknown[i])
			continue
		}
		for _, provider := range from {
			deleted, err := of.DeleteCopies(ctx, provider, c.Purpose)
			if report.StopsAll(ctx, err) {
				return report.Advise(err)
			}
			if err != nil {
				results.Add(err)
				terminal.PrintError(std.Err, c.Blobs[i].String()+" at "+provider, report.AdviseCopy(err))
			}
			if err := deletes.Print(deleted); err != nil {
				return err
			}
		}
	}
	return results.Err(ctx)
}
