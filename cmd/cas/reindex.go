package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/cas/reindexer"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/importing"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/wiring"
	"casgate/index/export"
)

// reindexCmd makes the index again.
type reindexCmd struct {
	wiring.LocalIndex
	settings.ObjectStore

	From        string `name:"from" placeholder:"FILE" help:"Also read back a file of cas export: names, media types, files and copies."`
	AdoptStore  bool   `name:"adopt-store" help:"Use the object store even if it has the mark of another index, or none of the export's blobs, and mark it as this index's."`
	OtherMark   bool   `name:"other-mark" help:"Read the export of an installation with another mark. Remote files of its unfinished uploads are not found then."`
	Concurrency int    `name:"concurrency" default:"8" help:"How many objects to verify at the same time."`
	DryRun      bool   `name:"dry-run" help:"Write nothing: verify the objects without a row, and report what would be done. An export is checked and counted."`
	Report      string `name:"report" placeholder:"FILE" help:"Write every problem to a file, a JSON object a line."`
	JSON        bool   `name:"json" help:"Print the counts as a JSON object."`
	Quiet       bool   `short:"q" help:"Print no progress and no notes, only the counts and errors."`
}

// Help returns the text that --help adds.
func (reindexCmd) Help() string {
	return `Looks at every object of the bucket or folder, and makes a row for each one that the index doesn't know. Key, size and checksum of the object must agree; else it is reported, and left as it is. The checksum is the one that the store keeps. Without one, as in a folder, the object is read.

The store has no names, no media types and no files. It doesn't know either which blobs were deleted and not yet removed: they come back. Copies at providers are unknown too: the next request uploads the blob again, and ` + "`cas copies reconcile`" + ` finds the old ones, and deletes them with --apply. CAS_RETAIN_UNREFERENCED, if it is set, later condemns blobs that no file names.

All this is in a file of ` + "`cas export`" + `, which --from reads back, as it was when it was written. A blob whose object is missing, or has another size or another checksum in the store, becomes suspect: the next upload brings its bytes. A folder keeps no checksums, and its objects are not read for --from; ` + "`cas scrub`" + ` reads them. --dry-run does not look for missing objects. Tokens and signing keys are in no export: make new ones.

A row that exists stays as it is, but --from gives it the name and media type that it lacks. So the command can be repeated, also after it was stopped, and run while gateways serve. Nothing in the store is changed, but its mark if it has none.

Exit codes: 0; 2 if the store or the export belongs to another index, or the export is not whole; 6 if a server can't be reached; 7 if objects or rows were reported; 130 after Ctrl-C.`
}

// reindexResult is the printed result.
type reindexResult struct {
	Objects reindexer.Counts `json:"objects"`
	// Export is what was read back; nil without --from and for --dry-run.
	Export *export.Result `json:"export,omitempty"`
	// Rows are those of the export; nil without --from.
	Rows *export.Counts `json:"rows,omitempty"`
}

// isPartial reports whether something was reported.
func (r reindexResult) isPartial() bool {
	if r.Objects.Wrong > 0 {
		return true
	}
	x := r.Export
	return x != nil && x.Missing+x.Blobs.Differs+x.Files.Differs+x.Copies.Differs+x.Texts.Differs > 0
}

// Run makes the rows, or reports what it would do.
func (c *reindexCmd) Run(ctx context.Context, std terminal.Streams) error {
	if c.Concurrency < 1 {
		return exit.Usagef("--concurrency must be at least 1")
	}
	open := wiring.OpenExistingStore
	if c.DryRun {
		open = wiring.OpenStoreToLook
	}
	objects, err := open(c.ObjectStore, c.Data, zerolog.Nop()) // first: it tells a wrong folder before an index is made there
	if err != nil {
		return err
	}
	defer objects.Close()
	x, closeIndex, err := c.LocalIndex.OpenToWrite(ctx, std, wiring.WriteOptions{DryRun: c.DryRun})
	if err != nil {
		return err
	}
	defer closeIndex()
	// A damaged index may hide that rows are missing, and takes no new ones.
	if err := wiring.CheckPages(ctx, x); err != nil {
		return wiring.AdviseRestore(err)
	}
	if err := objects.Check(ctx); err != nil {
		return err
	}
	exported, closeExport, err := c.openExport()
	if err != nil {
		return err
	}
	defer closeExport()
	if err := c.checkMarks(ctx, x, objects, exported); err != nil {
		return err
	}
	c.reached(stepIndexMarked)
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	report, err := importing.NewReport(shown, importing.ReportOptions{Path: c.Report, JSON: c.JSON})
	if err != nil {
		return err
	}
	run := reindexRun{reindexCmd: c, index: x, objects: objects, exported: exported, report: report}
	err = importing.WithExitCode(ctx, run.recorded(ctx, shown))
	if err = errors.Join(err, report.PrintCounts(run.result, run.line()), report.Close()); err == nil && run.result.isPartial() {
		err = exit.With(exit.Partly, exit.ErrReported)
	}
	if x := run.result.Export; x != nil && x.Deleted > 0 {
		shown.Note("%d blobs were deleted before the export; their bytes go when the grace period (CAS_GC_GRACE) is over, which began when this command made their rows. Upload those again that were uploaded since the export", x.Deleted)
	}
	if run.result.Objects.Adopted > 0 {
		shown.Note("the store has no names, media types and files; these %d blobs have none", run.result.Objects.Adopted)
	}
	return err
}

// openExport opens and checks the file of --from; nil without one.
func (c *reindexCmd) openExport() (*export.Export, func(), error) {
	if c.From == "" {
		return nil, func() {}, nil
	}
	file, err := os.Open(c.From)
	if err != nil {
		return nil, nil, exit.Usagef("--from: %w", err)
	}
	exported, err := export.Open(file)
	if err != nil {
		file.Close()
		return nil, nil, exit.Usagef("--from %s: %w", c.From, err)
	}
	return exported, func() { file.Close() }, nil
}

// checkMarks makes sure that index, store and export belong together. An index that was
// lost gets its mark back.
func (c *reindexCmd) checkMarks(ctx context.Context, x wiring.Index, objects wiring.ObjectStore, exported *export.Export) error {
	if c.DryRun {
		return nil
	}
	var mark string
	if exported != nil {
		mark = string(exported.Header.Mark)
	}
	if err := wiring.TakeOverMark(ctx, x, objects, mark); err != nil {
		return err
	}
	check := wiring.CheckStoreMark
	if c.AdoptStore {
		check = wiring.AdoptStore
	}
	if exported == nil {
		return check(ctx, x, objects)
	}
	current, err := x.Mark(ctx)
	if err != nil {
		return err
	}
	if string(current) != mark && !c.OtherMark {
		return exit.Usagef("--from %s: the export has the mark %q, and the index has %q: it is of another installation; --other-mark reads it nevertheless", c.From, mark, current)
	}
	// A store without a mark is compared with the export's blobs, see export.Restore. It is
	// marked after that.
	if stored, err := objects.Mark(ctx); err != nil || stored == "" && !c.AdoptStore {
		return err
	}
	return check(ctx, x, objects)
}

// reindexStep is a step of making the index again, at which a test may kill the process.
type reindexStep string

// The steps, named for what is done when they are reported. A step that has batches is
// reported after each of them.
const (
	stepIndexMarked reindexStep = "reindex-marked"   // the index has the mark of the store or the export
	stepBlobsRead   reindexStep = "reindex-blobs"    // blobs of the export have rows
	stepAdopting    reindexStep = "reindex-adopting" // objects without a row are verified
	stepAdopted     reindexStep = "reindex-adopted"  // they have rows
	stepOthersRead  reindexStep = "reindex-others"   // files, copies and texts of the export have rows
	stepStoreMarked reindexStep = "reindex-ended"    // the store has its mark
)

// reached reports a step to a test.
func (reindexCmd) reached(s reindexStep) {
	if hooks.onReindexStep != nil {
		hooks.onReindexStep(s)
	}
}

// reindexRun is a running command.
type reindexRun struct {
	*reindexCmd
	index    wiring.Index
	objects  wiring.ObjectStore
	exported *export.Export // nil without --from
	report   *importing.Report
	mu       sync.Mutex // of report
	result   reindexResult
}

// recorded is run with a record in the journal, unless nothing is written.
func (r *reindexRun) recorded(ctx context.Context, shown *terminal.Progress) error {
	if r.DryRun {
		return r.run(ctx)
	}
	records := wiring.StartJournal(r.index, zerolog.New(shown.Stderr()).Level(zerolog.WarnLevel))
	defer records.Close()
	start := time.Now()
	err := r.run(ctx)
	records.Add(journal.Record{Kind: journal.KindReindex, Bytes: r.result.Objects.Bytes}, start, err)
	return err
}

func (r *reindexRun) run(ctx context.Context) error {
	if r.exported == nil {
		return r.adopt(ctx, nil)
	}
	r.result.Rows = &r.exported.Counts
	if r.DryRun {
		known, err := r.exported.Objects()
		if err != nil {
			return err
		}
		return r.adopt(ctx, known)
	}
	var blobs atomic.Int64
	counter := r.report.Shown.Counting("reading back", 0, func() string { return fmt.Sprintf("%d blobs", blobs.Load()) })
	defer counter.Done()
	result, err := export.Restore(ctx, export.RestoreOptions{
		Export: r.exported, Index: r.index, Objects: r.objects, Concurrency: r.Concurrency, AnyStore: r.AdoptStore,
		Report: func(p export.Problem) { r.print(p, p.Kind+" "+p.Name, p.Err) },
		Progress: func(n export.Result) {
			step := stepBlobsRead
			if n.Files.Total()+n.Copies.Total()+n.Texts.Total() > 0 {
				step = stepOthersRead
			}
			r.reached(step)
			blobs.Store(n.Blobs.Total())
			counter.Set(n.Blobs.Total() + n.Files.Total() + n.Copies.Total() + n.Texts.Total())
		},
	}, func() error { return r.adopt(ctx, nil) })
	r.result.Export = &result
	if errors.Is(err, export.ErrOtherStore) {
		return exit.Usagef("%w (%s); is its disk mounted, and the bucket the right one? Use --adopt-store if the bytes are really lost", err, r.objects.Text)
	}
	if err != nil {
		return err
	}
	if err := wiring.CheckStoreMark(ctx, r.index, r.objects); err != nil {
		return err
	}
	r.reached(stepStoreMarked)
	return nil
}

// print reports a problem.
func (r *reindexRun) print(problem any, name string, reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Print(problem, name, reason)
}

// wrongObject is a line of the report.
type wrongObject struct {
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	Reason string `json:"reason"`
}

// adopt makes the rows of objects without one, but those that are known from elsewhere.
func (r *reindexRun) adopt(ctx context.Context, known map[cas.ObjectRef]bool) error {
	var adopted atomic.Int64
	counter := r.report.Shown.Counting("looking", 0, func() string { return fmt.Sprintf("%d without a row", adopted.Load()) })
	defer counter.Done()
	counts, err := reindexer.Run(ctx, reindexer.Options{
		Objects: r.objects.Lister(), Index: r.index, Concurrency: r.Concurrency, DryRun: r.DryRun,
		Skip: func(ref cas.ObjectRef) bool { return known[ref] },
		Report: func(p reindexer.Problem) {
			r.print(wrongObject{Key: p.Object.Key(), Size: p.Size, Reason: p.Err.Error()}, p.Object.Key(), p.Err)
		},
		Progress: func(n reindexer.Counts) {
			if n.Adopted > adopted.Swap(n.Adopted) {
				r.reached(stepAdopted)
			}
			counter.Set(n.Objects)
		},
		OnAdopt: func([]cas.Blob) { r.reached(stepAdopting) },
	})
	r.result.Objects = counts
	return err
}

// line describes the result.
func (r *reindexRun) line() string {
	n, verb := r.result.Objects, "were adopted"
	if r.DryRun {
		verb = "would be adopted"
	}
	known := "have a row"
	if r.DryRun && r.exported != nil {
		known = "have a row or would get it from the export"
	}
	line := fmt.Sprintf("%d objects: %d %s, %d %s (%s)", n.Objects, n.Known, known, n.Adopted, verb, terminal.Size(n.Bytes))
	if n.Wrong > 0 {
		line += fmt.Sprintf(", %d are wrong and were left alone", n.Wrong)
	}
	if n.Gone > 0 {
		line += fmt.Sprintf(", %d were removed meanwhile", n.Gone)
	}
	if rows := r.result.Rows; rows != nil && r.DryRun {
		line += fmt.Sprintf("\nthe export of %s is whole: %d files, %d copies, %d texts, %d blobs",
			terminal.Time(r.exported.Header.CreatedAt, ""), rows.Files, rows.Copies, rows.Texts, rows.Blobs)
	}
	if x := r.result.Export; x != nil {
		line += fmt.Sprintf("\nread back: %d files, %d copies, %d texts, %d blobs; %d rows were there already",
			x.Files.Restored, x.Copies.Restored, x.Texts.Restored, x.Blobs.Restored, x.Files.Kept+x.Copies.Kept+x.Texts.Kept+x.Blobs.Kept)
		if x.Missing > 0 {
			line += fmt.Sprintf(", %d blobs lack their bytes", x.Missing)
		}
		if x.Blobs.Completed > 0 {
			line += fmt.Sprintf(", %d blobs got their names and media types", x.Blobs.Completed)
		}
		if differs := x.Files.Differs + x.Copies.Differs + x.Texts.Differs + x.Blobs.Differs; differs > 0 {
			line += fmt.Sprintf(", %d rows differ from those of the index, which stay", differs)
		}
	}
	return line
}
