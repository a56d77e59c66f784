package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/wiring"
	"casgate/providers/ledger"
)

// copiesMoveAccountCmd moves the rows of an account to its present name. It works on the
// index itself, with the settings of the gateway.
type copiesMoveAccountCmd struct {
	wiring.LocalIndex
	settings.DescribedProviders

	Provider string `arg:"" placeholder:"PROVIDER" help:"The provider, such as kimi."`
	From     string `placeholder:"ACCOUNT" help:"The account as cas copies ls and cas copies reconcile show it. Without it the accounts that have copies are listed."`
	DryRun   bool   `name:"dry-run" help:"Only show what would be moved."`
	JSON     bool   `name:"json" help:"Print the result as JSON."`
}

// Help returns the text that --help adds.
func (copiesMoveAccountCmd) Help() string {
	return `A copy belongs to an account, which is known by a fingerprint of its key, or by the name in CAS_KIMI_ACCOUNT, CAS_GLM_ACCOUNT and so on. After a change of the key or the name the copies stay at the old account. This command moves them to the account of the present settings.

Use it only if both are the same account at the provider: it does not ask the provider. Gateways may run meanwhile. Copies that a gateway is working on stay; run the command again for them. A copy also stays if its blob has another file at the present account already.`
}

// Run moves the rows, or lists the accounts.
func (c *copiesMoveAccountCmd) Run(ctx context.Context, std terminal.Streams) error {
	to, err := wiring.AccountOf(settings.Providers{DescribedProviders: c.DescribedProviders}, c.Provider)
	if err != nil {
		return err
	}
	x, err := c.Open(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	accounts, err := ledger.CountAccounts(ctx, x, c.Provider)
	if err != nil {
		return err
	}
	if c.From == "" {
		return c.list(std.Out, to, accounts)
	}
	if c.From == to {
		return exit.Usagef("%s is the present account already", terminal.Printable(to))
	}
	if accounts[c.From] == 0 {
		return exit.Usagef("there are no copies at the account %s of %s; without --from the accounts are listed", terminal.Printable(c.From), terminal.Printable(c.Provider))
	}
	moved, err := ledger.MoveAccount(ctx, x, ledger.AccountMove{Provider: c.Provider, From: c.From, To: to, DryRun: c.DryRun})
	printErr := c.print(std.Out, to, moved)
	if err := errors.Join(err, printErr); err != nil {
		return err
	}
	if len(moved.InWork)+len(moved.Conflicts) > 0 {
		return exit.With(exit.Partly, exit.ErrReported)
	}
	return nil
}

// list prints the accounts with their numbers of copies.
func (c *copiesMoveAccountCmd) list(w io.Writer, to string, accounts map[string]int) error {
	names := slices.Sorted(maps.Keys(accounts))
	if c.JSON {
		return terminal.PrintJSON(w, struct {
			Provider string         `json:"provider"`
			Account  string         `json:"account"`
			Copies   map[string]int `json:"copies"`
		}{c.Provider, to, accounts})
	}
	p := &terminal.Lines{W: w}
	p.Printf("the present account of %s is %s", terminal.Printable(c.Provider), terminal.Printable(to))
	for _, name := range names {
		p.Printf("%s\t%d copies", terminal.Printable(name), accounts[name])
	}
	return p.Err
}

// print prints what was moved and what stays.
func (c *copiesMoveAccountCmd) print(w io.Writer, to string, moved ledger.Moved) error {
	if c.JSON {
		return terminal.PrintJSON(w, movedJSON{
			Provider: c.Provider, From: c.From, To: to, DryRun: c.DryRun, Moved: len(moved.Copies), Dropped: len(moved.Dropped),
			InWork: moveKeys(moved.InWork), Conflicts: moveKeys(moved.Conflicts),
		})
	}
	verb := "moved"
	if c.DryRun {
		verb = "would be moved"
	}
	p := &terminal.Lines{W: w}
	p.Printf("%d copies %s from %s to %s", len(moved.Copies), verb, terminal.Printable(c.From), terminal.Printable(to))
	if n := len(moved.Dropped); n > 0 {
		p.Printf("%d rows without a file are not needed any more", n)
	}
	for _, row := range moved.InWork {
		p.Printf("stays, a gateway is working on it: %s", describeMove(row))
	}
	for _, row := range moved.Conflicts {
		p.Printf("stays, the blob has another file at the present account: %s", describeMove(row))
	}
	return p.Err
}

// movedJSON is the result as JSON.
type movedJSON struct {
	Provider  string    `json:"provider"`
	From      string    `json:"from"`
	To        string    `json:"to"`
	DryRun    bool      `json:"dry_run"`
	Moved     int       `json:"moved"`
	Dropped   int       `json:"dropped"` // rows without a file
	InWork    []moveKey `json:"in_work"`
	Conflicts []moveKey `json:"conflicts"`
}

// moveKey names a copy that stays.
type moveKey struct {
	Digest  string `json:"digest"`
	Purpose string `json:"purpose"`
	FileID  string `json:"provider_file_id,omitempty"`
}

func moveKeys(rows []ledger.Copy) []moveKey {
	keys := make([]moveKey, len(rows))
	for i, row := range rows {
		keys[i] = moveKey{row.Digest.String(), row.Purpose, row.FileID}
	}
	return keys
}

func describeMove(row ledger.Copy) string {
	return fmt.Sprintf("%s (%s) %s", row.Digest, terminal.Printable(row.Purpose), terminal.Printable(cmp.Or(row.FileID, "-")))
}
