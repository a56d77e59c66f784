package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/gateway/api"
)

// copiesLsCmd lists copies.
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
		var found []api.Copy
		of, err := transfer.OwnerOf(ctx, gateway, ref)
		switch {
		case err == nil:
			found, err = of.Copies(ctx)
		case !errors.Is(err, cas.ErrBlobNotFound): // nothing to do with this blob alone
			return err
		}
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
		unlimited := "never"
		if c.ProviderFileID == "" {
			unlimited = "-" // there is nothing that could expire
		}
		row([]string{
			c.Provider, c.Purpose, cmp.Or(terminal.Printable(c.Extension), "-"), report.CopyState(c), cmp.Or(terminal.Printable(c.ProviderFileID), "-"), terminal.Size(c.Size),
			terminal.OptionalTime(c.LastUsedAt, "-"), terminal.OptionalTime(c.ExpiresAt, unlimited), report.ProviderError(c.Error),
		}, c.Account, c.Digest.String())
	}
	return t.Flush()
}
