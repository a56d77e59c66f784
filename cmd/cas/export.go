package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/rs/zerolog"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/cmd/cas/internal/wiring"
	"casgate/index/export"
)

// exportCmd writes what the index knows.
type exportCmd struct {
	wiring.LocalIndex
	settings.ObjectStore

	Output string `short:"o" name:"output" placeholder:"FILE" help:"Write to a file, which appears when it is complete. Without it, to standard output."`
	JSON   bool   `name:"json" help:"Print the counts as a JSON object, to standard error."`
	Quiet  bool   `short:"q" help:"Print no progress and no counts."`
}

// Help returns the text that --help adds.
func (exportCmd) Help() string {
	return `Writes everything that the index knows about files, blobs and copies at providers, as JSON lines. The bytes of the blobs are in the store, and not in the export. ` + "`cas reindex --from FILE`" + ` reads it back.

There are no secrets in it: no tokens and no signing keys. But it names files. The journal is not in it either.

It runs while gateways serve. A file that is made meanwhile may be missing.`
}

// Run writes the export.
func (c *exportCmd) Run(ctx context.Context, std terminal.Streams) (err error) {
	if c.Output == "" && terminal.IsTerminal(std.Out) {
		return exit.Usagef("an export is not for a terminal; redirect it, or name a file with --output")
	}
	x, err := c.LocalIndex.Open(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	mark, err := c.storeMark(ctx)
	if err != nil {
		shown.Note("the mark of the object store is left out: %v", err)
	}
	counts, err := c.write(ctx, std, x, shown, mark)
	if err != nil {
		return err
	}
	if c.JSON {
		return terminal.PrintJSON(shown.Stderr(), counts)
	}
	shown.Note("%d files, %d copies, %d extracted texts and %d blobs", counts.Files, counts.Copies, counts.Texts, counts.Blobs)
	return nil
}

// storeMark returns the mark of the object store.
func (c *exportCmd) storeMark(ctx context.Context) (string, error) {
	objects, err := wiring.OpenStoreToLook(c.ObjectStore, c.Data, zerolog.Nop())
	if err != nil {
		return "", err
	}
	defer objects.Close()
	return objects.Mark(ctx)
}

// write writes the export to its place.
func (c *exportCmd) write(ctx context.Context, std terminal.Streams, x export.Source, shown *terminal.Progress, mark string) (export.Counts, error) {
	var blobs atomic.Int64
	counter := shown.Counting("exporting", 0, func() string { return fmt.Sprintf("%d blobs", blobs.Load()) })
	defer counter.Done()
	o := export.WriteOptions{StoreMark: mark, Progress: func(n export.Counts) {
		blobs.Store(n.Blobs)
		counter.Set(n.Files + n.Copies + n.Texts + n.Blobs)
	}}
	if c.Output == "" {
		return export.Write(ctx, std.Out, x, o)
	}
	var counts export.Counts
	whole := transfer.WholeFile{Path: c.Output, Mode: 0o600, Replace: true}
	err := whole.Write(func(to io.Writer) (err error) {
		counts, err = export.Write(ctx, to, x, o)
		return err
	})
	return counts, err
}
