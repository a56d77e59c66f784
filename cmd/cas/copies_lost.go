package main

import (
	"context"
	"fmt"

	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// copiesLostCmd reports a copy that its provider has lost.
type copiesLostCmd struct {
	settings.Client

	Blob    argument.Stored `arg:"" name:"blob" help:"Digest, hash URL of this gateway, or id of a file."`
	At      string          `name:"provider" aliases:"at" required:"" placeholder:"PROVIDER" help:"The provider that doesn't know the file."`
	ID      string          `name:"id" placeholder:"ID" help:"The file's id that the provider denied; the copy's present one if empty. Where the copy has another by now, nothing is lost."`
	Purpose string          `placeholder:"PURPOSE" help:"The copy's purpose; the usual one for the blob if empty."`
	Name    string          `placeholder:"NAME" help:"Name of the file at the provider, where the copy was asked for under one."`
	JSON    bool            `name:"json" help:"Print the copy as JSON."`
}

// Run reports the loss, and prints the id to use from now on.
func (c *copiesLostCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	of, err := transfer.OwnerOf(ctx, gateway, c.Blob)
	if err != nil {
		return err
	}
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.JSON})
	defer shown.Close()
	done := shown.Waiting("looking", c.At)
	made, err := of.ReportLost(ctx, c.At, c.ID, client.CopyOptions{Purpose: c.Purpose, Name: c.Name})
	done()
	if err != nil {
		return report.AdviseCopy(err)
	}
	if err := report.NotReady(made); err != nil {
		return err
	}
	if c.JSON {
		return terminal.PrintJSON(shown.Stdout(), made)
	}
	if made.Created == nil || *made.Created {
		shown.Note("uploaded again")
	} else {
		shown.Note("%s knows the file", c.At)
	}
	report.SimulatedCopies(shown, []api.Copy{made})
	_, err = fmt.Fprintln(std.Out, terminal.Printable(made.ProviderFileID))
	return err
}
