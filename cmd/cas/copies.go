package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/providers"
)

// copiesCmd is about the copies that there are.
type copiesCmd struct {
	Ls        copiesLsCmd        `cmd:"" default:"withargs" help:"List the copies of blobs and files: cas copies BLOB."`
	Rm        copiesRmCmd        `cmd:"" help:"Delete copies at providers. The blobs stay."`
	Lost      copiesLostCmd      `cmd:"" help:"Report that a provider doesn't know a file any more: it is looked at, and uploaded again where it is so."`
	Reconcile copiesReconcileCmd `cmd:"" help:"Compare what the gateway knows with the files that a provider lists, and mend it with --apply."`
}

type copiesLsCmd struct {
	settings.Client

	Blobs []stored `arg:"" name:"blob" help:"Digests, hash URLs of this gateway, or ids of files."`
	JSON  bool     `name:"json" help:"Print a JSON object for each copy; of a blob that can't be told about, its digest and the error."`
}

// Run prints the copies of each blob.
func (c *copiesLsCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	var blobs tally
	var all []api.Copy
	for _, ref := range c.Blobs {
		of, err := ref.at(gateway)
		if err != nil {
			return err
		}
		found, err := of.copies(ctx)
		if concernsAll(ctx, err) {
			return advise(err)
		}
		blobs.add(err)
		if err != nil {
			terminal.PrintError(std.Err, ref.String(), err)
			if c.JSON {
				if err := terminal.PrintJSON(std.Out, statFailure{ref.String(), newJSONError(err)}); err != nil {
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
	noteSimulatedCopies(terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.JSON, NoBars: true}), all)
	return blobs.err(ctx)
}

// noteSimulatedCopies says which of the copies are not real.
func noteSimulatedCopies(shown *terminal.Progress, all []api.Copy) {
	simulated := map[string]bool{}
	for _, one := range all {
		if one.Simulated {
			simulated[one.Provider] = true
		}
	}
	noteSimulated(shown, slices.Sorted(maps.Keys(simulated)))
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
			terminal.OptionalTime(c.LastUsedAt, "-"), terminal.OptionalTime(c.ExpiresAt, "never"), providerErrorText(c.Error),
		}, c.Account, c.Digest.String())
	}
	return t.Flush()
}

// providerErrorText is a provider's error on one line, shortened; "-" for none.
func providerErrorText(e *api.ProviderError) string {
	if e == nil {
		return "-"
	}
	text := cmp.Or(e.Code, e.Kind)
	if e.Status > 0 {
		text = fmt.Sprintf("%d %s", e.Status, text)
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return terminal.Shorten(terminal.Printable(text), 100)
}

type copiesRmCmd struct {
	settings.Client

	Blobs   []stored `arg:"" name:"blob" help:"Digests, hash URLs of this gateway, or ids of files."`
	From    []string `required:"" placeholder:"PROVIDER" help:"Providers to delete the copies at, such as kimi,glm."`
	Purpose string   `placeholder:"PURPOSE" help:"Only those of this purpose."`
	JSON    bool     `name:"json" help:"Print a JSON object for each copy."`
}

// Help is what --help adds.
func (copiesRmCmd) Help() string {
	return `A copy is said to be deleted only once its provider has confirmed it. Until then the gateway goes on trying by itself, and the exit code is 9.`
}

// Run deletes the copies, one after the other.
func (c *copiesRmCmd) Run(ctx context.Context, std terminal.Streams) error {
	from, err := providerNames(c.From)
	if err != nil {
		return err
	}
	if len(from) == 0 {
		return errNoProviders
	}
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	owners := make([]owner, len(c.Blobs))
	for i, ref := range c.Blobs { // all are looked at before anything is deleted
		if owners[i], err = ref.at(gateway); err != nil {
			return err
		}
	}
	var results tally
	for i, of := range owners {
		for _, provider := range from {
			deleted, err := of.deleteCopies(ctx, provider, c.Purpose)
			if concernsAll(ctx, err) {
				return advise(err)
			}
			if err != nil {
				results.add(err)
				terminal.PrintError(std.Err, c.Blobs[i].String()+" at "+provider, adviseCopy(err))
			}
			if err := reportDeleted(terminal.NewProgress(std, terminal.ProgressOptions{NoBars: true}), &results, deleted, c.JSON); err != nil {
				return err
			}
		}
	}
	return results.err(ctx)
}

// notDeleted is the error of a copy whose provider has not confirmed its delete.
func notDeleted(c api.Copy) error {
	if c.State == string(providers.StateDeleted) {
		return nil
	}
	why := ""
	if c.Error != nil {
		why = " (" + providerErrorText(c.Error) + ")"
	}
	return exit.With(exit.UnderWay, fmt.Errorf("%s has not confirmed the delete yet%s; the gateway goes on trying", c.Provider, why))
}

// copyText names a copy.
func copyText(c api.Copy) string {
	what := c.Purpose
	if c.Extension != "" {
		what += ", " + terminal.Printable(c.Extension)
	}
	return fmt.Sprintf("%s at %s (%s)", c.Digest, c.Provider, what)
}

type copiesLostCmd struct {
	settings.Client

	Blob    blobRef `arg:"" name:"digest" help:"Digest, or hash URL of this gateway."`
	At      string  `required:"" placeholder:"PROVIDER" help:"The provider that doesn't know the file."`
	ID      string  `name:"id" placeholder:"ID" help:"The file's id that the provider denied; the copy's present one if empty. Where the copy has another by now, nothing is lost."`
	Purpose string  `placeholder:"PURPOSE" help:"The copy's purpose; the usual one for the blob if empty."`
	Name    string  `placeholder:"NAME" help:"Name of the file at the provider, where the copy was asked for under one."`
	JSON    bool    `name:"json" help:"Print the copy as JSON."`
}

// Run reports the loss, and prints the id to use from now on.
func (c *copiesLostCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	d, err := c.Blob.digestAt(gateway)
	if err != nil {
		return err
	}
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.JSON})
	defer shown.Close()
	done := shown.Waiting("looking", c.At)
	made, err := gateway.ReportLost(ctx, d, c.At, c.ID, client.CopyOptions{Purpose: c.Purpose, Name: c.Name})
	done()
	if err != nil {
		return adviseCopy(err)
	}
	if err := notReady(made); err != nil {
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
	noteSimulatedCopies(shown, []api.Copy{made})
	_, err = fmt.Fprintln(std.Out, made.ProviderFileID)
	return err
}
