package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/collector"
	"casgate/cas/journal"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/wiring"
	"casgate/providers/replicator"
)

// gcCmd removes the bytes of deleted blobs.
type gcCmd struct {
	wiring.LocalIndex
	settings.ObjectStore
	settings.Collection
	settings.Providers

	Concurrency int           `name:"concurrency" default:"16" help:"How many objects to remove at the same time."`
	Orphans     bool          `name:"orphans" help:"First look for objects that no row of the index names, such as those of uploads whose commit failed, by listing the whole store. They are removed after the grace period, too. Objects of old generations, whose blobs have a newer object since an upload met a delete, are removed at once."`
	OrphanAge   time.Duration `name:"orphan-age" default:"24h" help:"How old an object must be for --orphans: older than any upload can be under way between its object and its row."`
	DryRun      bool          `name:"dry-run" help:"Remove nothing: count what would be removed, and list the largest blobs. With --orphans, count those, too."`
	Largest     int           `name:"largest" default:"10" help:"How many of the largest blobs --dry-run lists." placeholder:"N"`
	Status      bool          `name:"status" help:"Show the last collection, or the one that is running, and remove nothing."`
	JSON        bool          `name:"json" help:"Print the result as a JSON object."`
	Quiet       bool          `short:"q" help:"Print no progress, only the result and errors."`
}

// Help returns the text that --help adds.
func (gcCmd) Help() string {
	return `A deleted blob keeps its bytes for the grace period: until then an upload brings it back. After that gateways remove it by themselves; this command does the same at once, with its own limits. Copies at providers are deleted too; without a provider's key here, a gateway that has it deletes them.

One collection runs at a time, here or in a gateway. The command can be killed and started again: nothing that a reader sees is ever removed.

If a collection would remove more than --gc-max-share or --gc-max-blobs allow, it removes nothing, and says so. Look at it with --dry-run, and raise the limit if it is meant.

Exit codes: 0; 6 if a server can't be reached; 7 if objects could not be removed, which the next collection tries again; 9 if another collection is running; 11 if the limits stopped it.`
}

// Run collects, or shows the state.
func (c *gcCmd) Run(ctx context.Context, std terminal.Streams) error {
	if c.Concurrency < 1 {
		return exit.Usagef("--concurrency must be at least 1")
	}
	if c.DryRun && c.Status || c.Orphans && c.Status {
		return exit.Usagef("--status excludes --dry-run and --orphans")
	}
	x, err := c.LocalIndex.Open(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	if c.Status {
		return c.status(ctx, x, std.Out)
	}
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	if c.DryRun {
		return c.dryRun(ctx, x, shown)
	}
	return c.collect(ctx, x, shown)
}

// gcStatus is the printed result of --status.
type gcStatus struct {
	Running bool           `json:"running"`
	Last    *collector.Run `json:"last,omitempty"`
}

// status shows the last collection.
func (c *gcCmd) status(ctx context.Context, x wiring.Index, out io.Writer) error {
	run, running, err := x.LastRun(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		status := gcStatus{Running: running}
		if run.ID != "" {
			status.Last = &run
		}
		return terminal.PrintJSON(out, status)
	}
	if run.ID == "" {
		_, err := fmt.Fprintln(out, "there was nothing to collect yet")
		return err
	}
	state := "ended " + terminal.Time(run.EndedAt, "")
	switch {
	case running:
		state = "running"
	case run.EndedAt.IsZero():
		state = "its process died, and the next collection takes over"
	}
	_, err = fmt.Fprintf(out, "started %s, %s: %s\n", terminal.Time(run.StartedAt, ""), state, runLine(run))
	if err == nil && run.Error != "" {
		_, err = fmt.Fprintln(out, "last error:", terminal.Printable(run.Error))
	}
	return err
}

// gcPlan is the printed result of --dry-run.
type gcPlan struct {
	collector.Due
	Largest []gcBlob `json:"largest"`
	// Orphans is the result of --orphans. A collection removes them after the grace period.
	Orphans *collector.Swept `json:"orphans,omitempty"`
	// Stopped says why the collection would remove nothing.
	Stopped string `json:"stopped,omitempty"`
}

// gcBlob is a blob that would be removed.
type gcBlob struct {
	Digest cas.Digest `json:"digest"`
	Size   int64      `json:"size"`
}

// dryRun shows what a collection would remove.
func (c *gcCmd) dryRun(ctx context.Context, x wiring.Index, shown *terminal.Progress) error {
	all, err := wiring.OpenCollector(c.Collection, collector.Options{Index: x}, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	due, err := all.Survey(ctx, c.Largest)
	brake, stopped := errors.AsType[*collector.BrakeError](err)
	if err != nil && !stopped {
		return err
	}
	plan := gcPlan{Due: due, Largest: []gcBlob{}}
	if c.Orphans {
		if plan.Orphans, err = c.findOrphans(ctx, x, shown); err != nil {
			return err
		}
	}
	for _, o := range due.Largest {
		plan.Largest = append(plan.Largest, gcBlob{o.Digest, o.Size})
	}
	if stopped {
		plan.Stopped = brake.Error()
	}
	if c.JSON {
		err = terminal.PrintJSON(shown.Stdout(), plan)
	} else {
		err = plan.print(shown.Stdout())
	}
	if err == nil && stopped {
		err = exit.With(exit.TooMuch, brake)
	}
	return err
}

// findOrphans counts the objects that no row names.
func (c *gcCmd) findOrphans(ctx context.Context, x wiring.Index, shown *terminal.Progress) (*collector.Swept, error) {
	objects, err := c.openObjects(ctx, x)
	if err != nil {
		return nil, err
	}
	defer objects.Close()
	swept, err := c.sweep(ctx, x, objects, shown)
	return &swept, err
}

func (p gcPlan) print(out io.Writer) error {
	if _, err := fmt.Fprintf(out, "%d blobs to remove (%s); %d stay\n", p.Blobs, terminal.Size(p.Bytes), p.Visible); err != nil {
		return err
	}
	for _, b := range p.Largest {
		if _, err := fmt.Fprintf(out, "%s  %s\n", b.Digest, terminal.Size(b.Size)); err != nil {
			return err
		}
	}
	if p.Orphans != nil {
		_, err := fmt.Fprintf(out, "%d orphans to remove: %d without a row, %d of old generations\n", p.Orphans.Condemned+p.Orphans.Stale, p.Orphans.Condemned, p.Orphans.Stale)
		return err
	}
	return nil
}

// collect removes what is due.
func (c *gcCmd) collect(ctx context.Context, x wiring.Index, shown *terminal.Progress) error {
	objects, err := c.openObjects(ctx, x)
	if err != nil {
		return err
	}
	defer objects.Close()
	var result gcResult
	if c.Orphans {
		swept, err := c.sweep(ctx, x, objects, shown)
		if err != nil {
			return err
		}
		result.Orphans = &swept
	}
	log := zerolog.New(shown.Stderr()).Level(zerolog.WarnLevel)
	copies, closeCopies, err := c.openCopies(x, objects, log)
	if err != nil {
		return err
	}
	defer closeCopies()
	records := wiring.StartJournal(x, log)
	defer records.Close()

	var removed, failed atomic.Int64
	counter := shown.Counting("removing", 0, func() string { return fmt.Sprintf("%d failed", failed.Load()) })
	all, err := wiring.OpenCollector(c.Collection, collector.Options{
		Index: x, Objects: objects, Batches: objects.Batches(), Texts: cas.Texts{Index: x, Blobs: x},
		Copies:      wiring.CollectedCopies{Replicator: copies.Replicator, Actor: journal.ActorCLI},
		Concurrency: c.Concurrency, Log: log,
		Notify: func(r collector.Result) {
			records.RecordCollected(r)
			if r.Err != nil {
				failed.Add(1)
			}
			counter.Set(removed.Add(1))
		},
		Lease: hooks.lease, OnStep: hooks.onCollectorStep,
	}, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	result.Run, err = all.Collect(ctx)
	counter.Done()
	return c.report(result, err, shown.Stdout())
}

// gcResult is the printed result of a collection.
type gcResult struct {
	collector.Run
	Orphans *collector.Swept `json:"orphans,omitempty"` // of --orphans
}

// openObjects opens the object store, if it is the one of the index. --dry-run gives it no
// mark.
func (c *gcCmd) openObjects(ctx context.Context, x wiring.Index) (wiring.ObjectStore, error) {
	objects, err := wiring.OpenExistingStore(c.ObjectStore, c.Data, zerolog.Nop())
	if err != nil {
		return objects, err
	}
	if err = objects.Check(ctx); err == nil && c.DryRun {
		_, err = wiring.BelongsTo(ctx, x, objects)
	} else if err == nil {
		err = wiring.CheckStoreMark(ctx, x, objects)
	}
	if err != nil {
		objects.Close()
	}
	return objects, err
}

// sweep condemns objects that no row names, or only counts them.
func (c *gcCmd) sweep(ctx context.Context, x wiring.Index, objects wiring.ObjectStore, shown *terminal.Progress) (collector.Swept, error) {
	var found atomic.Int64
	counter := shown.Counting("looking", 0, func() string { return fmt.Sprintf("%d orphans", found.Load()) })
	swept, err := collector.Sweep(ctx, collector.SweepOptions{
		Lister: objects.Lister(), Index: x, Objects: objects, Age: c.OrphanAge, DryRun: c.DryRun,
		Progress: func(s collector.Swept) { found.Store(s.Condemned + s.Stale); counter.Set(s.Objects) },
	})
	counter.Done()
	if err == nil {
		done := "removed"
		if c.DryRun {
			done = "to remove"
		}
		shown.Note("%d objects: %d without a row, %d of old generations %s", swept.Objects, swept.Condemned, swept.Stale, done)
		if swept.Young > 0 {
			shown.Note("%d more are younger than %s (--orphan-age), and were left alone", swept.Young, c.OrphanAge)
		}
	}
	return swept, err
}

// openCopies opens what deletes the copies of collected blobs.
func (c *gcCmd) openCopies(x wiring.Index, objects wiring.ObjectStore, log zerolog.Logger) (copies *wiring.Copies, closeAll func(), err error) {
	store, err := cas.NewStore(objects, x, cas.Options{SpoolDir: os.TempDir(), HotBlobSize: -1, Log: log})
	if err != nil {
		return nil, nil, err
	}
	copies, err = wiring.OpenCopies(c.Providers, replicator.Options{Blobs: store, Ledger: x, Log: log}, prometheus.NewRegistry())
	if err != nil {
		store.Close()
		return nil, nil, err
	}
	return copies, func() { copies.Close(); store.Close() }, nil
}

// report prints the result of a collection, and gives its error an exit code.
func (c *gcCmd) report(run gcResult, err error, out io.Writer) error {
	if errors.Is(err, collector.ErrRunning) {
		return exit.With(exit.UnderWay, fmt.Errorf("%w; `cas gc --status` shows it", err))
	}
	if _, stopped := errors.AsType[*collector.BrakeError](err); stopped {
		return exit.With(exit.TooMuch, fmt.Errorf("%w; look at it with `cas gc --dry-run`, and raise --gc-max-share or --gc-max-blobs if it is meant", err))
	}
	var printErr error
	if c.JSON {
		printErr = terminal.PrintJSON(out, run)
	} else {
		_, printErr = fmt.Fprintln(out, runLine(run.Run))
	}
	if err = errors.Join(err, printErr); err == nil && run.Failed > 0 {
		err = exit.With(exit.Partly, fmt.Errorf("%d objects could not be removed, and the next collection tries again; the last error was: %s", run.Failed, run.Error))
	}
	return err
}

// runLine describes a collection.
func runLine(run collector.Run) string {
	line := fmt.Sprintf("%d of %d blobs removed (%s)", run.Blobs, run.Due, terminal.Size(run.Bytes))
	if run.Failed > 0 {
		line += fmt.Sprintf(", %d failed", run.Failed)
	}
	if !run.EndedAt.IsZero() && run.Blobs > 0 {
		line += fmt.Sprintf(" in %s", run.EndedAt.Sub(run.StartedAt).Round(time.Millisecond))
	}
	return line
}
