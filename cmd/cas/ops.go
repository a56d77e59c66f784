package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// opsCmd shows operations.
type opsCmd struct {
	settings.Client

	ID string `arg:"" optional:"" name:"id" help:"Show the state or the result of this operation."`

	Kind     string          `placeholder:"KIND" help:"Only operations of this kind: upload, download, delete, sync, unsync, evict, reconcile, import, backfill, token-created and others."`
	Actor    string          `placeholder:"ACTOR" help:"Only operations of this actor: token:<id>, url, public, none, cli or gateway."`
	Digest   argument.Blob   `placeholder:"DIGEST" help:"Only operations on this blob."`
	File     string          `placeholder:"ID" help:"Only operations on this file."`
	Provider string          `placeholder:"NAME" help:"Only operations at this provider."`
	Outcome  string          `placeholder:"OUTCOME" enum:",ok,failed,broken-off" default:"" help:"Only operations with this result: ok, failed, or broken-off if the client left or was cut off."`
	Since    argument.Moment `placeholder:"WHEN" help:"Only operations that began since then, of gathered reads the last one: a time such as 2026-11-21T20:00:00Z, or how long ago, such as 2h."`
	Until    argument.Moment `placeholder:"WHEN" help:"Only operations that began before then. Not with --follow."`

	Limit  int           `default:"50" help:"How many of the newest to print; 0 means all."`
	Follow bool          `short:"f" help:"Print the existing operations, oldest first, and then each operation as it ends, until Ctrl-C."`
	Every  time.Duration `default:"1s" help:"With --follow: time between two requests."`
	JSON   bool          `name:"json" help:"Print a JSON object for each operation."`

	digest *cas.Digest // that of Digest, once the gateway is known
}

// Help returns the text that --help adds.
func (opsCmd) Help() string {
	return `An operation is recorded when it ends, within about a second, under the id that the answer to the request (X-Request-Id) and the gateway's log have too. Requests that only look leave no record. Downloads, and other operations that change nothing, are gathered: the first one of an actor on a blob is shown at once, and those of the next minute share a line at its end, with their number (such as "x 1200"), the begin of the first one, and the sums of time and bytes. If the gateway could not keep up and dropped records, standard error says how many.

Without an id the newest come first. --follow misses and repeats nothing, also across restarts of the gateway.`
}

// Run prints operations.
func (c *opsCmd) Run(ctx context.Context, std terminal.Streams) error {
	switch {
	case c.Every == 0:
		return exit.Usagef("--every must be more than nothing")
	case c.Follow && !c.Until.IsZero():
		return exit.Usagef("--follow goes on until Ctrl-C, so --until can't be given")
	}
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	if c.digest, err = c.Digest.Filter(ctx, gateway); errors.Is(err, cas.ErrBlobNotFound) {
		return fmt.Errorf("%w; operations on a deleted blob are found by its whole digest only", err)
	} else if err != nil {
		return report.Advise(err)
	}
	switch {
	case c.ID != "":
		return c.one(ctx, gateway, std)
	case c.Follow:
		return c.follow(ctx, gateway, std)
	default:
		return c.list(ctx, gateway, std)
	}
}

func (c *opsCmd) options() client.RecordOptions {
	return client.RecordOptions{
		Kind: c.Kind, Actor: c.Actor, Digest: c.digest, FileID: c.File, Provider: c.Provider, Outcome: c.Outcome,
		Since: c.Since.Time, Until: c.Until.Time,
	}
}

// one prints one operation.
func (c *opsCmd) one(ctx context.Context, gateway *client.Client, std terminal.Streams) error {
	operation, err := gateway.Operation(ctx, c.ID)
	if err != nil {
		return report.Advise(err)
	}
	if c.JSON {
		return terminal.PrintJSON(std.Out, operation)
	}
	return printOperation(std.Out, operation)
}

// list prints the newest operations, as they come.
func (c *opsCmd) list(ctx context.Context, gateway *client.Client, std terminal.Streams) error {
	out := c.printer(std)
	_, err := c.newest(ctx, gateway, out, out.print)
	return err
}

// newest passes the newest operations to take, and returns the place from which to follow.
func (c *opsCmd) newest(ctx context.Context, gateway *client.Client, out *opsPrinter, take func(api.Record) error) (place string, err error) {
	o := c.options()
	for left := c.Limit; ; {
		o.Limit = client.MaxRecords
		if c.Limit > 0 {
			o.Limit = min(left, o.Limit)
		}
		page, err := gateway.Records(ctx, o)
		if err != nil {
			return "", report.Advise(err)
		}
		if o.After == "" {
			place = page.Newest
			out.tellLost(page.Lost)
			if page.Off {
				terminal.Fail(out.std.Err, errors.New("this gateway records no operations: CAS_JOURNAL is off there"))
			}
		}
		for _, r := range page.Operations {
			if err := take(r); err != nil {
				return "", err
			}
		}
		left -= len(page.Operations)
		if page.Next == "" || c.Limit > 0 && left <= 0 {
			return place, nil
		}
		o.After = page.Next
	}
}

// follow prints operations as they end, until ctx is done.
func (c *opsCmd) follow(ctx context.Context, gateway *client.Client, std terminal.Streams) error {
	out := c.printer(std)
	var before []api.Record
	place, err := c.newest(ctx, gateway, out, func(r api.Record) error {
		before = append(before, r)
		return nil
	})
	for i := len(before) - 1; i >= 0 && err == nil; i-- {
		err = out.print(before[i])
	}
	if err != nil {
		return err
	}
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return nil // the usual end of following
		case <-tick.C:
		}
		added, err := gateway.RecordsSince(ctx, place, c.options())
		switch {
		case ctx.Err() != nil:
			return nil
		case isAway(err):
			if !away {
				terminal.Fail(std.Err, fmt.Errorf("%w; trying again", err))
			}
			away = true
			continue
		case err != nil:
			return report.Advise(err)
		}
		place, away = added.Newest, false
		out.tellLost(added.Lost)
		for _, r := range added.Records {
			if err := out.print(r); err != nil {
				return err
			}
		}
	}
}

// isAway reports whether an error ends when the gateway, or its index, is back.
func isAway(err error) bool {
	answer, ok := errors.AsType[*client.Error](err)
	return ok && answer.Problem.Retryable || errors.Is(err, client.ErrUnreachable)
}

// opsPrinter prints operations as they come.
type opsPrinter struct {
	std   terminal.Streams
	json  bool
	table terminal.Table
	lost  uint64
}

func (c *opsCmd) printer(std terminal.Streams) *opsPrinter {
	return &opsPrinter{std: std, json: c.JSON, table: terminal.Table{
		W: std.Out, Format: "%-20s  %-14s  %-10s  %9s  %9s  %-22s  %-8s  %-38s  %s",
		Head: []any{"STARTED", "KIND", "OUTCOME", "TOOK", "BYTES", "ACTOR", "PROVIDER", "ID", "ABOUT"},
	}}
}

// tellLost prints the number of lost records, if it has grown.
func (p *opsPrinter) tellLost(lost uint64) {
	if lost > p.lost {
		fmt.Fprintf(p.std.Err, "cas: %d operations went unrecorded since the gateway started: it could not keep up, or its index was away\n", lost)
	}
	p.lost = lost
}

// print prints an operation.
func (p *opsPrinter) print(r api.Record) error {
	if p.json {
		return terminal.PrintJSON(p.std.Out, r)
	}
	about := terminal.Printable(r.FileID)
	if about == "" && r.Digest != nil {
		about = r.Digest.Short()
	}
	if r.Count > 1 {
		about = strings.TrimSpace(about + "  x " + strconv.FormatInt(r.Count, 10))
	}
	if r.ErrorCode != "" {
		about = strings.TrimSpace(about + "  " + terminal.Printable(string(r.ErrorCode)))
	}
	return p.table.Row(r.StartedAt.UTC().Format(time.RFC3339), r.Kind, r.Outcome, tookText(r.DurationMS), terminal.Size(r.Bytes),
		terminal.Printable(r.Actor), cmp.Or(terminal.Printable(r.Provider), "-"), terminal.Printable(r.ID), cmp.Or(about, "-"))
}

// tookText formats a duration in milliseconds with about three digits.
func tookText(ms float64) string {
	switch {
	case ms < 1000:
		return strconv.FormatFloat(ms, 'g', 3, 64) + " ms"
	case ms < 60_000:
		return strconv.FormatFloat(ms/1000, 'g', 3, 64) + " s"
	}
	return (time.Duration(ms/1000) * time.Second).String()
}

// printOperation prints all details of an operation.
func printOperation(w io.Writer, o api.Operation) error {
	p := &terminal.Lines{W: w}
	p.Printf("%s", terminal.Printable(o.ID))
	field := func(name, value string) {
		if value != "" {
			p.Printf("  %-8s  %s", name, value)
		}
	}
	field("kind", o.Kind)
	field("status", o.Status)
	if c := o.Copy; c != nil {
		field("copy", report.CopyName(*c)+", "+c.State)
	}
	if r := o.Record; r != nil {
		field("recorded", r.Kind+", "+r.Outcome)
		field("actor", terminal.Printable(r.Actor))
		if r.Digest != nil {
			field("blob", r.Digest.String())
		}
		field("file", terminal.Printable(r.FileID))
		field("provider", terminal.Printable(r.Provider))
		field("started", r.StartedAt.UTC().Format(time.RFC3339Nano))
		if r.LastStartedAt != nil {
			field("count", strconv.FormatInt(r.Count, 10)+", the last one started "+r.LastStartedAt.UTC().Format(time.RFC3339Nano))
		}
		field("took", tookText(r.DurationMS))
		field("bytes", strconv.FormatInt(r.Bytes, 10)+" ("+terminal.Size(r.Bytes)+")")
		field("error", terminal.Printable(string(r.ErrorCode)))
	}
	if e := o.Error; e != nil {
		field("because", terminal.Printable(cmp.Or(e.Detail, e.Title)))
	}
	return p.Err
}
