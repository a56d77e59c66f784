package main

import (
	"context"
	"errors"
	"io"
	"time"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// copiesReconcileCmd compares the copies that the gateway knows with a provider's files.
type copiesReconcileCmd struct {
	settings.Client

	Provider string `required:"" placeholder:"PROVIDER" help:"Whose files to compare."`
	Apply    bool   `help:"Repair the differences: delete files of this installation that it does not know any more, and mark copies as lost if their file is gone. Without it nothing changes."`
	JSON     bool   `name:"json" help:"Print the report as JSON."`
}

// Help returns the text that --help adds.
func (copiesReconcileCmd) Help() string {
	return `The exit code is 0 if the two agree, or if --apply has repaired everything. Without --apply it is 10 if there are differences.

Unknown files are those at the provider whose names have this installation's mark, and that it doesn't know. Each index has a mark of its own, so files of another casgate at the same account are others: they are only counted, and never changed.`
}

// Run compares, and prints the differences.
func (c *copiesReconcileCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	shown := terminal.NewProgress(std, terminal.ProgressOptions{})
	defer shown.Close()
	done := shown.Waiting("comparing", c.Provider)
	found, err := gateway.Reconcile(ctx, c.Provider, client.ReconcileOptions{Apply: c.Apply})
	done()
	if err != nil {
		return report.AdviseCopy(err)
	}
	if c.JSON {
		err = terminal.PrintJSON(shown.Stdout(), found)
	} else {
		err = printReconciliation(shown.Stdout(), found)
	}
	if err != nil {
		return err
	}
	for _, failure := range found.Failures {
		terminal.PrintError(shown.Stderr(), c.Provider, errors.New(failure))
	}
	return reconciled(found)
}

// reconciled returns the error that ends the command after a comparison.
func reconciled(r api.Reconciliation) error {
	found := differences(r)
	switch {
	case len(r.Failures) >= found && len(r.Failures) > 0:
		return exit.With(exit.Failure, exit.ErrReported)
	case len(r.Failures) > 0:
		return exit.With(exit.Partly, exit.ErrReported)
	case found > 0 && !r.Applied:
		return exit.With(exit.Differs, exit.ErrReported)
	}
	return nil
}

// differences counts what --apply repairs.
func differences(r api.Reconciliation) int { return len(r.Unknown) + len(r.Gone) + len(r.Deletes) }

// printReconciliation prints the differences, and what was or would be done about them.
func printReconciliation(w io.Writer, r api.Reconciliation) error {
	p := &terminal.Lines{W: w}
	p.Printf("%s, account %s: %d files there, %d copies known here", r.Provider, terminal.Printable(r.Account), r.Remote, r.Rows)
	would := "would be"
	if r.Applied {
		would = "were"
	}
	if len(r.Unknown) > 0 {
		p.Printf("%d unknown: made by this installation, and no copy names them; they %s deleted", len(r.Unknown), would)
	}
	for _, f := range r.Unknown {
		printRemoteFile(p, f)
	}
	if len(r.Gone) > 0 {
		p.Printf("%d gone: not there any more; they %s marked lost, and made again when next asked for", len(r.Gone), would)
	}
	for _, one := range r.Gone {
		p.Printf("  %s  %s", terminal.Printable(one.ProviderFileID), report.CopyName(one))
	}
	if len(r.Deletes) > 0 {
		p.Printf("%d to be deleted, and not there any more; they %s marked deleted", len(r.Deletes), would)
	}
	for _, one := range r.Deletes {
		p.Printf("  %s  %s", terminal.Printable(one.ProviderFileID), report.CopyName(one))
	}
	if len(r.Misplaced) > 0 {
		p.Printf("%d at another name of this account: their files are there; cas copies move-account %s --from ACCOUNT takes them over", len(r.Misplaced), terminal.Printable(r.Provider))
	}
	for _, one := range r.Misplaced {
		p.Printf("  %s  %s  %s", terminal.Printable(one.Account), terminal.Printable(one.ProviderFileID), report.CopyName(one))
	}
	if len(r.Elsewhere) > 0 {
		p.Printf("%d elsewhere: at accounts that the present key doesn't open; nothing is done about them", len(r.Elsewhere))
	}
	for _, one := range r.Elsewhere {
		p.Printf("  %s  %s  %s", terminal.Printable(one.Account), terminal.Printable(one.ProviderFileID), report.CopyName(one))
	}
	if r.Others.Files > 0 {
		p.Printf("%d of other casgates (%s), such as these; they are left alone", r.Others.Files, terminal.Size(r.Others.Bytes))
	}
	for _, f := range r.Others.Examples {
		printRemoteFile(p, f)
	}
	if r.Foreign > 0 {
		p.Printf("%d foreign: not made by a casgate; they are left alone", r.Foreign)
	}
	switch {
	case differences(r) == 0:
		p.Printf("no differences")
	case !r.Applied:
		p.Printf("nothing was changed; --apply repairs it")
	}
	return p.Err
}

func printRemoteFile(p *terminal.Lines, f api.RemoteFile) {
	created := "-"
	if f.CreatedAt != nil {
		created = f.CreatedAt.UTC().Format(time.RFC3339)
	}
	p.Printf("  %s  %s  %s  %s  %s", terminal.Printable(f.ID), terminal.Printable(f.Purpose), terminal.Size(f.Size), created, terminal.Printable(f.Name))
}
