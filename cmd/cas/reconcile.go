package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"casgate/gateway/api"
)

type copiesReconcileCmd struct {
	clientConfig

	Provider string `required:"" placeholder:"PROVIDER" help:"Whose files to compare."`
	Apply    bool   `help:"Mend what is found: delete the files that a casgate made and none knows, and mark the copies lost whose file is gone. Without it nothing is changed."`
	JSON     bool   `name:"json" help:"Print the report as JSON."`
}

// Help is what --help adds.
func (copiesReconcileCmd) Help() string {
	return `The exit code is 0 where the two agree, and where --apply has mended everything. Without --apply it is 10 where there is something to mend.

Unknown files are those at the provider whose names say that a casgate made them, and that this gateway doesn't know. Where another casgate, with an index of its own, uses the same account, they may be that one's: don't --apply then.`
}

// Run compares, and prints what was found.
func (c *copiesReconcileCmd) Run(ctx context.Context, std stdio) error {
	gateway, err := c.connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	shown := newProgress(std, false)
	defer shown.close()
	done := shown.waiting("comparing", c.Provider)
	report, err := gateway.Reconcile(ctx, c.Provider, c.Apply)
	done()
	if err != nil {
		return adviseCopy(err)
	}
	if c.JSON {
		err = printJSON(shown.stdout(), report)
	} else {
		err = printReconciliation(shown.stdout(), report)
	}
	if err != nil {
		return err
	}
	for _, failure := range report.Failures {
		printError(shown.stderr(), c.Provider, errors.New(failure))
	}
	return reconciled(report)
}

// reconciled is how a comparison ends the command.
func reconciled(r api.Reconciliation) error {
	found := len(r.Unknown) + len(r.Gone)
	switch {
	case len(r.Failures) >= found && len(r.Failures) > 0:
		return codedError{errReported, exitFailure}
	case len(r.Failures) > 0:
		return codedError{errReported, exitPartly}
	case found > 0 && !r.Applied:
		return codedError{errReported, exitDiffers}
	}
	return nil
}

// printReconciliation prints what was found, and what was or would be done.
func printReconciliation(w io.Writer, r api.Reconciliation) error {
	p := &linePrinter{w: w}
	p.line("%s, account %s: %d files there, %d copies known here", r.Provider, display(r.Account), r.Remote, r.Rows)
	would := "would be"
	if r.Applied {
		would = "were"
	}
	if len(r.Unknown) > 0 {
		p.line("%d unknown: made by a casgate, and not known to this one; they %s deleted", len(r.Unknown), would)
	}
	for _, f := range r.Unknown {
		created := "-"
		if f.CreatedAt != nil {
			created = f.CreatedAt.UTC().Format(time.RFC3339)
		}
		p.line("  %s  %s  %s  %s  %s", display(f.ID), display(f.Purpose), sizeText(f.Size), created, display(f.Name))
	}
	if len(r.Gone) > 0 {
		p.line("%d gone: not there any more; they %s marked lost, and made again when next asked for", len(r.Gone), would)
	}
	for _, one := range r.Gone {
		p.line("  %s  %s", display(one.ProviderFileID), copyText(one))
	}
	if len(r.Elsewhere) > 0 {
		p.line("%d elsewhere: at accounts that the present key doesn't open; nothing is done about them", len(r.Elsewhere))
	}
	for _, one := range r.Elsewhere {
		p.line("  %s  %s  %s", display(one.Account), display(one.ProviderFileID), copyText(one))
	}
	if r.Foreign > 0 {
		p.line("%d foreign: not made by a casgate; they are left alone", r.Foreign)
	}
	switch {
	case len(r.Unknown)+len(r.Gone) == 0:
		p.line("nothing to mend")
	case !r.Applied:
		p.line("nothing was changed; --apply mends it")
	}
	return p.err
}

// linePrinter writes lines, up to the first error.
type linePrinter struct {
	w   io.Writer
	err error
}

func (p *linePrinter) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
