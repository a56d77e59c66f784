package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/importer"
	"casgate/cas/journal"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/importing"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/wiring"
	"casgate/providers/replicator"
)

// backfillCmd stores the bytes of imported files.
type backfillCmd struct {
	wiring.LocalIndex
	settings.ObjectStore
	settings.Sources
	settings.DescribedProviders
	importing.OldTable

	MaxBlobSize settings.ByteSize `name:"max-blob-size" env:"CAS_MAX_BLOB_SIZE" default:"5GiB" help:"Size of the largest blob; at most 5GiB." placeholder:"SIZE"`
	SpoolLimit  settings.ByteSize `name:"spool-limit" env:"CAS_SPOOL_LIMIT" default:"0" help:"Bytes on disk at the same time. 0: no limit but the disk." placeholder:"SIZE"`

	BatchSize    int               `name:"batch-size" default:"500" help:"How many files to list at a time."`
	Concurrency  int               `name:"concurrency" default:"16" help:"How many files to read at the same time."`
	Rate         float64           `name:"rate" default:"0" help:"How many files to begin per second. 0: no limit." placeholder:"N"`
	MaxBandwidth settings.ByteSize `name:"max-bandwidth" default:"0" help:"How many bytes to read per second, such as 20MB. 0: no limit." placeholder:"SIZE"`
	RetryFailed  bool              `name:"retry-failed" help:"Try files again that failed in an earlier run."`
	WriteBack    string            `name:"write-back" enum:",sha256" default:"" placeholder:"sha256" help:"sha256: afterwards write missing and malformed digests into the old table (CAS_SOURCE_DATABASE_URL, --table, --map)."`

	DryRun bool   `name:"dry-run" help:"Store nothing: count the files, look for every object, and report what would fail."`
	Report string `name:"report" placeholder:"FILE" help:"Write every problem to a file, a JSON object a line."`
	JSON   bool   `name:"json" help:"Print the counts as a JSON object."`
	Quiet  bool   `short:"q" help:"Print no progress and no notes, only the counts and errors."`
}

// Help returns the text that --help adds.
func (backfillCmd) Help() string {
	return `Reads every imported file whose bytes are not stored yet, and stores them. The index has the progress: the command can be killed and started again, run beside gateways that store the same files on first access, and run twice at the same time.

If the old manager has a digest, it must be that of the bytes; if not, the size must be right. Files that fail are reported with the reason; later runs skip them without --retry-failed. While a server can't be reached, files wait for it. If it stays away, the run stops, and the remaining files are unchanged.

Ctrl-C ends the run after the current files; a second Ctrl-C ends it at once. Neither loses anything.

Exit codes: 0; 7 if files failed or were put off, or would fail; 6 if a server can't be reached; 130 after Ctrl-C.`
}

// pending returns the files to try.
func (c *backfillCmd) pending() importer.Pending {
	if c.RetryFailed {
		return importer.PendingAll
	}
	return importer.PendingUntried
}

// Run stores the files, or reports what it would do.
func (c *backfillCmd) Run(ctx context.Context, std terminal.Streams) error {
	table, err := c.check()
	if err != nil {
		return err
	}
	sources, err := wiring.OpenSources(c.Sources)
	if err != nil {
		return err
	}
	defer sources.Close()
	if len(sources.All()) == 0 {
		return exit.Usagef("no source of the files is set; set CAS_SOURCE_S3_ENDPOINT, CAS_SOURCE_S3_BUCKET and the keys, or CAS_SOURCE_DIR")
	}
	x, err := c.LocalIndex.Open(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	if err := sources.Check(ctx); err != nil {
		return importing.WithExitCode(ctx, err)
	}
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	report, err := importing.NewReport(shown, importing.ReportOptions{Path: c.Report, JSON: c.JSON})
	if err != nil {
		return err
	}
	var failed int64
	if c.DryRun {
		failed, err = c.survey(ctx, x, sources, report)
	} else {
		failed, err = c.backfill(ctx, x, sources, table, report)
	}
	if err = errors.Join(importing.WithExitCode(ctx, err), report.Close()); err == nil && failed > 0 {
		err = exit.With(exit.Partly, exit.ErrReported)
	}
	return err
}

// check refuses settings that make no sense, and returns the table to write back
// to, nil where there is none.
func (c *backfillCmd) check() (importer.DigestWriter, error) {
	switch {
	case c.BatchSize < 1 || c.Concurrency < 1:
		return nil, exit.Usagef("--batch-size and --concurrency must be at least 1")
	case c.WriteBack == "":
		return nil, nil
	case c.DryRun:
		return nil, exit.Usagef("--dry-run writes nothing, and --write-back asks for it; leave one out")
	}
	return c.OldTable.Open()
}

// backfillResult is the printed result of a backfill.
type backfillResult struct {
	importer.BackfillCounts
	// WrittenBack is how many rows of the old table got their digest.
	WrittenBack *int64 `json:"written_back,omitempty"`
}

// backfill stores the files, writes digests back to the old table if there is one, and
// prints the counts.
func (c *backfillCmd) backfill(ctx context.Context, x wiring.Index, sources wiring.Sources, table importer.DigestWriter, report *importing.Report) (failed int64, err error) {
	var result backfillResult
	result.BackfillCounts, err = c.takeIn(ctx, x, sources, report)
	if err == nil && table != nil {
		done := report.Shown.Waiting("writing", "digests into the old table")
		var changed int64
		changed, err = importer.WriteBack(ctx, x, sources.Names(), table)
		done()
		result.WrittenBack = &changed
	}
	printErr := report.PrintCounts(result, result.line())
	return result.Failed + result.PutOff, errors.Join(err, printErr)
}

// takeIn stores the files.
func (c *backfillCmd) takeIn(ctx context.Context, x wiring.Index, sources wiring.Sources, report *importing.Report) (counts importer.BackfillCounts, err error) {
	if err := wiring.CheckOwner(c.DataDir); err != nil { // before a folder is made there
		return counts, err
	}
	objects, err := wiring.OpenObjectStore(c.ObjectStore, c.Data, zerolog.Nop())
	if err != nil {
		return counts, err
	}
	defer objects.Close()
	if err := objects.Check(ctx); err != nil {
		return counts, err
	}
	if err := wiring.CheckStoreMark(ctx, x, objects); err != nil {
		return counts, err
	}
	if err := os.MkdirAll(c.Path(settings.SpoolDir), 0o700); err != nil {
		return counts, err
	}
	log := zerolog.New(report.Shown.Stderr()).Level(zerolog.WarnLevel)
	store, err := cas.NewStore(objects, x, cas.Options{
		SpoolDir: c.Path(settings.SpoolDir), SpoolLimit: int64(c.SpoolLimit), MaxBlobSize: int64(c.MaxBlobSize), HotBlobSize: -1, Log: log,
	})
	if err != nil {
		return counts, exit.With(exit.Usage, err)
	}
	defer store.Close()
	copies, err := wiring.OpenCopies(settings.Providers{DescribedProviders: c.DescribedProviders}, replicator.Options{Blobs: store, Ledger: x, Log: log}, prometheus.NewRegistry())
	if err != nil {
		return counts, err
	}
	defer copies.Close()
	files := cas.NewFiles(cas.FilesOptions{
		Store: store, Index: x, Sources: importer.Throttle(sources.List(), int64(c.MaxBandwidth)), Log: log,
		Adopt: (&wiring.ImportedCopies{Copies: copies, Log: log}).Enter,
	})

	var total int64
	if report.Shown.HasBars() {
		if total, err = importer.CountPending(ctx, files, c.pending()); err != nil {
			return counts, err
		}
	}
	records := wiring.StartJournal(x, log)
	defer records.Close()
	run := backfillRun{report: report, records: records}
	run.counter = report.Shown.Counting("taking in", total, run.text)
	defer run.counter.Done()
	return importer.Backfill(ctx, importer.BackfillOptions{
		Files: files, Sources: sources.Names(), BatchSize: c.BatchSize, Concurrency: c.Concurrency,
		ObjectsPerSecond: c.Rate, Pending: c.pending(), Notify: run.take,
	})
}

func (n backfillResult) line() string {
	line := fmt.Sprintf("%d files taken in (%s), %d of them duplicates; %d failed, %d put off", n.Taken, terminal.Size(n.Bytes), n.Duplicates, n.Failed, n.PutOff)
	if n.Gone > 0 {
		line += fmt.Sprintf(", %d deleted meanwhile", n.Gone)
	}
	if n.FailedBefore > 0 {
		line += fmt.Sprintf("; %d that failed before were left alone (--retry-failed tries them again)", n.FailedBefore)
	}
	if n.WrittenBack != nil {
		line += fmt.Sprintf("; %d rows of the old table got their digest", *n.WrittenBack)
	}
	return line
}

// backfillRun counts and records the results of a backfill.
type backfillRun struct {
	report  *importing.Report
	records *wiring.CommandJournal
	counter terminal.Counter

	mu                        sync.Mutex
	seen, bytes, twice, wrong int64
}

// take records the result of one file.
func (r *backfillRun) take(e importer.Event) {
	r.mu.Lock()
	r.seen++
	seen := r.seen
	switch {
	case e.Err != nil:
		r.wrong++
	case !e.Gone:
		r.bytes += e.Bytes
		if !e.Stored {
			r.twice++
		}
	}
	r.mu.Unlock()
	r.counter.Set(seen)
	if e.Gone {
		return
	}
	r.records.Add(journal.Record{Kind: journal.KindBackfill, Digest: e.File.Digest, FileID: e.File.ID, Bytes: e.Bytes}, e.Start, e.Err)
	if e.Err != nil {
		r.report.Add(e.Problem())
	}
}

func (r *backfillRun) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%s, %d duplicates, %d failed", terminal.Size(r.bytes), r.twice, r.wrong)
}

// survey reports what a backfill would do.
func (c *backfillCmd) survey(ctx context.Context, x wiring.Index, sources wiring.Sources, report *importing.Report) (failed int64, err error) {
	survey := importer.NewSurvey(importer.SurveyOptions{
		Sources: sources.Statters(), Missing: x.Missing, MaxSize: int64(c.MaxBlobSize), Concurrency: c.Concurrency, Report: report.Add,
	})
	counter := report.Shown.Counting("looking", 0, func() string {
		return fmt.Sprintf("%d would fail", survey.Counts().WouldFail)
	})
	err = survey.Pending(ctx, x, c.pending(), counter.Set)
	counter.Done()
	counts := survey.Counts()
	line := fmt.Sprintf("%d files to take in: %s, %d duplicates by digest, %d would fail", counts.Files, terminal.Size(counts.Bytes), counts.Duplicates, counts.WouldFail)
	return counts.WouldFail, errors.Join(err, report.PrintCounts(counts, line))
}
