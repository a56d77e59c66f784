package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"

	"casgate/cas/reindexer"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/importing"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/wiring"
)

// reindexCmd makes the index again.
type reindexCmd struct {
	wiring.LocalIndex
	settings.ObjectStore

	AdoptStore  bool   `name:"adopt-store" help:"Use the object store even if it has the mark of another index, and mark it as this index's."`
	Concurrency int    `name:"concurrency" default:"8" help:"How many objects to verify at the same time."`
	DryRun      bool   `name:"dry-run" help:"Write nothing: verify the objects without a row, and report what would be done."`
	Report      string `name:"report" placeholder:"FILE" help:"Write every problem to a file, a JSON object a line."`
	JSON        bool   `name:"json" help:"Print the counts as a JSON object."`
	Quiet       bool   `short:"q" help:"Print no progress and no notes, only the counts and errors."`
}

// Help returns the text that --help adds.
func (reindexCmd) Help() string {
	return `Looks at every object of the bucket or folder, and makes a row for each one that the index doesn't know. Key, size and checksum of the object must agree; else it is reported, and left as it is. The checksum is the one that the store keeps. Without one, as in a folder, the object is read.

The store has no names, no media types and no files. It doesn't know either which blobs were deleted and not yet removed: they come back. Copies at providers stay unknown.

A row that exists stays as it is, so the command can be repeated, also after it was stopped, and run while gateways serve. Nothing in the store is changed, but its mark if it has none.

Exit codes: 0; 2 if the store belongs to another index; 6 if a server can't be reached; 7 if objects were reported; 130 after Ctrl-C.`
}

// Run makes the rows, or reports what it would do.
func (c *reindexCmd) Run(ctx context.Context, std terminal.Streams) error {
	if c.Concurrency < 1 {
		return exit.Usagef("--concurrency must be at least 1")
	}
	x, err := c.LocalIndex.Open(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	objects, err := wiring.OpenObjectStore(c.ObjectStore, c.Data, zerolog.Nop())
	if err != nil {
		return err
	}
	defer objects.Close()
	if err := objects.Check(ctx); err != nil {
		return err
	}
	if err := c.checkMark(ctx, x, objects); err != nil {
		return err
	}
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	report, err := importing.NewReport(shown, importing.ReportOptions{Path: c.Report, JSON: c.JSON})
	if err != nil {
		return err
	}
	counts, err := c.adopt(ctx, x, objects, report)
	if err = errors.Join(importing.WithExitCode(ctx, err), report.PrintCounts(counts, c.line(counts)), report.Close()); err == nil && counts.Wrong > 0 {
		err = exit.With(exit.Partly, exit.ErrReported)
	}
	if err == nil && counts.Adopted > 0 {
		shown.Note("the store has no names, media types and files; they are beyond this command")
	}
	return err
}

// checkMark makes sure that index and store belong together. An index that was lost gets
// its mark back from the store.
func (c *reindexCmd) checkMark(ctx context.Context, x wiring.Index, objects wiring.ObjectStore) error {
	if c.DryRun {
		return nil
	}
	if c.AdoptStore {
		return wiring.AdoptStore(ctx, x, objects)
	}
	if err := wiring.TakeOverMark(ctx, x, objects, ""); err != nil {
		return err
	}
	return wiring.CheckStoreMark(ctx, x, objects)
}

// wrongObject is a line of the report.
type wrongObject struct {
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	Reason string `json:"reason"`
}

// adopt makes the rows of objects without one.
func (c *reindexCmd) adopt(ctx context.Context, x wiring.Index, objects wiring.ObjectStore, report *importing.Report) (reindexer.Counts, error) {
	var mu sync.Mutex
	var adopted atomic.Int64
	counter := report.Shown.Counting("looking", 0, func() string { return fmt.Sprintf("%d without a row", adopted.Load()) })
	defer counter.Done()
	return reindexer.Run(ctx, reindexer.Options{
		Objects: objects.Lister(), Index: x, Concurrency: c.Concurrency, DryRun: c.DryRun,
		Report: func(p reindexer.Problem) {
			mu.Lock()
			defer mu.Unlock()
			report.Print(wrongObject{Key: p.Object.Key(), Size: p.Size, Reason: p.Err.Error()}, p.Object.Key(), p.Err)
		},
		Progress: func(n reindexer.Counts) { adopted.Store(n.Adopted); counter.Set(n.Objects) },
	})
}

func (c *reindexCmd) line(n reindexer.Counts) string {
	verb := "were adopted"
	if c.DryRun {
		verb = "would be adopted"
	}
	line := fmt.Sprintf("%d objects: %d have a row, %d %s (%s)", n.Objects, n.Known, n.Adopted, verb, terminal.Size(n.Bytes))
	if n.Wrong > 0 {
		line += fmt.Sprintf(", %d are wrong and were left alone", n.Wrong)
	}
	if n.Gone > 0 {
		line += fmt.Sprintf(", %d were removed meanwhile", n.Gone)
	}
	return line
}
