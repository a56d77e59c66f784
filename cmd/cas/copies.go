package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// copiesCmd is about the copies that there are.
type copiesCmd struct {
	Ls        copiesLsCmd        `cmd:"" default:"withargs" help:"List the copies of blobs and files: cas copies BLOB."`
	Rm        copiesRmCmd        `cmd:"" help:"Delete copies at providers. The blobs stay."`
	Lost      copiesLostCmd      `cmd:"" help:"Report that a provider has lost a file. The gateway checks that, and uploads the file again if it is lost."`
	Reconcile copiesReconcileCmd `cmd:"" help:"Compare the copies that the gateway knows with the files that a provider lists. --apply repairs the differences."`
}

type copiesLsCmd struct {
	settings.Client

	Blobs []argument.Stored `arg:"" name:"blob" help:"Digests, hash URLs of this gateway, or ids of files."`
	JSON  bool              `name:"json" help:"Print a JSON object for each copy; after a failure, the digest of the blob and the error."`
}

// Run prints the copies of each blob.
func (c *copiesLsCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	var blobs report.Tally
	var all []api.Copy
	for _, ref := range c.Blobs {
		of, err := transfer.OwnerOf(gateway, ref)
		if err != nil {
			return err
		}
		found, err := of.Copies(ctx)
		if report.StopsAll(ctx, err) {
			return report.Advise(err)
		}
		blobs.Add(err)
		if err != nil {
			terminal.PrintError(std.Err, ref.String(), err)
			if c.JSON {
				if err := terminal.PrintJSON(std.Out, statFailure{ref.String(), report.NewJSONError(err)}); err != nil {
					return err
				}
			}
			continue
		}
		if c.JSON {
			for _, one := range found {
				if err := terminal.PrintJSON(std.Out, one); err != nil {
					return err
				}
			}
		}
		all = append(all, found...)
	}
	if !c.JSON {
		if err := printCopies(std.Out, all, len(c.Blobs) > 1); err != nil {
			return err
		}
	}
	report.SimulatedCopies(terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.JSON, NoBars: true}), all)
	return blobs.Err(ctx)
}

// printCopies prints a table of copies. Accounts are in it where a provider has
// copies at more than one.
func printCopies(w io.Writer, all []api.Copy, withDigests bool) error {
	if len(all) == 0 {
		return nil
	}
	accounts := map[string]string{}
	withAccounts := false
	for _, c := range all {
		withAccounts = withAccounts || c.Account != cmp.Or(accounts[c.Provider], c.Account)
		accounts[c.Provider] = c.Account
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells []string, account, digest string) {
		if withAccounts {
			cells = append(cells, account)
		}
		if withDigests {
			cells = append(cells, digest)
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	row([]string{"PROVIDER", "PURPOSE", "AS", "STATE", "FILE ID", "SIZE", "LAST USED", "EXPIRES", "ERROR"}, "ACCOUNT", "DIGEST")
	for _, c := range all {
		row([]string{
			c.Provider, c.Purpose, cmp.Or(terminal.Printable(c.Extension), "-"), c.State, cmp.Or(terminal.Printable(c.ProviderFileID), "-"), terminal.Size(c.Size),
			terminal.OptionalTime(c.LastUsedAt, "-"), terminal.OptionalTime(c.ExpiresAt, "never"), report.ProviderError(c.Error),
		}, c.Account, c.Digest.String())
	}
	return t.Flush()
}

type copiesRmCmd struct {
	settings.Client

	Blobs   []argument.Stored `arg:"" name:"blob" help:"Digests, hash URLs of this gateway, or ids of files."`
	From    []string          `required:"" placeholder:"PROVIDER" help:"Providers to delete the copies at, such as kimi,glm."`
	Purpose string            `placeholder:"PURPOSE" help:"Only those of this purpose."`
	JSON    bool              `name:"json" help:"Print a JSON object for each copy."`
}

// Help returns the text that --help adds.
func (copiesRmCmd) Help() string {
	return `A copy counts as deleted only after its provider has confirmed it. Until then the gateway keeps trying, and the exit code is 9.`
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
	for i, ref := range c.Blobs { // all are checked before any copy is deleted
		if owners[i], err = transfer.OwnerOf(gateway, ref); err != nil {
			return err
		}
	}
	var results report.Tally
	deletes := report.Deletes{Shown: terminal.NewProgress(std, terminal.ProgressOptions{NoBars: true}), Tally: &results, JSON: c.JSON}
	for i, of := range owners {
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

type copiesLostCmd struct {
	settings.Client

	Blob    argument.Blob `arg:"" name:"digest" help:"Digest, or hash URL of this gateway."`
	At      string        `required:"" placeholder:"PROVIDER" help:"The provider that doesn't know the file."`
	ID      string        `name:"id" placeholder:"ID" help:"The file's id that the provider denied; the copy's present one if empty. Where the copy has another by now, nothing is lost."`
	Purpose string        `placeholder:"PURPOSE" help:"The copy's purpose; the usual one for the blob if empty."`
	Name    string        `placeholder:"NAME" help:"Name of the file at the provider, where the copy was asked for under one."`
	JSON    bool          `name:"json" help:"Print the copy as JSON."`
}

// Run reports the loss, and prints the id to use from now on.
func (c *copiesLostCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	d, err := c.Blob.DigestAt(gateway)
	if err != nil {
		return err
	}
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.JSON})
	defer shown.Close()
	done := shown.Waiting("looking", c.At)
	made, err := gateway.Blob(d).ReportLost(ctx, c.At, c.ID, client.CopyOptions{Purpose: c.Purpose, Name: c.Name})
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
	_, err = fmt.Fprintln(std.Out, made.ProviderFileID)
	return err
}
