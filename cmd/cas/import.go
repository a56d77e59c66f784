package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/importer"
	"casgate/cas/journal"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/importing"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/cmd/cas/internal/wiring"
)

// importCmd registers the files of an old file manager.
type importCmd struct {
	wiring.LocalIndex
	settings.Sources
	settings.ObjectStore
	importing.OldTable

	FromPostgres bool   `name:"from-postgres" xor:"from" required:"" help:"Import the rows of a Postgres table."`
	FromCSV      string `name:"from-csv" xor:"from" required:"" placeholder:"FILE" help:"Import the lines of a CSV file whose first line names the columns; - is standard input."`
	FromJSONL    string `name:"from-jsonl" xor:"from" required:"" placeholder:"FILE" help:"Import the lines of a file that has a JSON object in each; - is standard input."`
	FromBucket   bool   `name:"from-bucket" xor:"from" required:"" help:"Import every object of the source's bucket."`
	FromFolder   bool   `name:"from-folder" xor:"from" required:"" help:"Import every file of the source's folder."`

	WithDeleted bool `name:"with-deleted" help:"Import also the rows whose files were deleted here."`

	MaxBlobSize settings.ByteSize `name:"max-blob-size" env:"CAS_MAX_BLOB_SIZE" default:"5GiB" help:"Largest blob that the gateway takes, for --dry-run." placeholder:"SIZE"`
	DryRun      bool              `name:"dry-run" help:"Import nothing: count the rows, look for every object, and report what would fail."`
	Report      string            `name:"report" placeholder:"FILE" help:"Write every problem to a file, a JSON object a line."`
	JSON        bool              `name:"json" help:"Print the counts as a JSON object."`
	Quiet       bool              `short:"q" help:"Print no progress and no notes, only the counts and errors."`
}

// Help returns the text that --help adds.
func (importCmd) Help() string {
	return `Every row becomes a file, which can be used at once: its bytes stay where they are, in the bucket of CAS_SOURCE_S3_… or the folder CAS_SOURCE_DIR, until a client asks for them or cas backfill stores them. The gateway needs the same settings. The old table is only read.

A row whose file exists changes nothing, so an import can be repeated. It brings no file back that was deleted here, without --with-deleted. A file's id is "file-" and the 32 digits of the row's UUID; of any other id, digits that depend on it and the source.

Fields, and the columns looked for where --map doesn't name others: ` + fieldNames() + `. Only storage_path must be there. To import some of the rows, make a view and name it with --table.

Parts of a row that can't be kept are left out and reported: malformed digests, sizes, times, media types and metadata. The metadata of a file has the row's id as imported_id, its name as imported_name where it had to be changed, and its type as imported_type where it is no purpose.

Exit codes: 0; 7 if rows could not be imported, or would not be; 2 for wrong settings or columns, or if the object store belongs to another index; 6 if a server can't be reached.`
}

func fieldNames() string {
	names := make([]string, len(importer.Fields))
	for i, f := range importer.Fields {
		names[i] = string(f)
	}
	return strings.Join(names, ", ")
}

// Run imports, or reports what an import would do.
func (c *importCmd) Run(ctx context.Context, std terminal.Streams) (err error) {
	sources, err := wiring.OpenSources(c.Sources)
	if err != nil {
		return err
	}
	defer sources.Close()
	source, err := c.sourceOf(sources)
	if err != nil {
		return err
	}
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	list, err := c.open(ctx, std, source)
	if err != nil {
		return importing.WithExitCode(ctx, err)
	}
	defer list.close()
	x, closeIndex, err := c.LocalIndex.OpenToWrite(ctx, std, wiring.WriteOptions{DryRun: c.DryRun})
	if err != nil {
		return err
	}
	defer closeIndex()
	if err := c.checkStore(ctx, x); err != nil {
		return importing.WithExitCode(ctx, err)
	}
	if err := source.Check(ctx); err != nil {
		return importing.WithExitCode(ctx, err)
	}
	report, err := importing.NewReport(shown, importing.ReportOptions{Path: c.Report, JSON: c.JSON})
	if err != nil {
		return err
	}
	var failed int64
	if c.DryRun {
		failed, err = c.survey(ctx, x, list, report)
	} else {
		failed, err = c.importRows(ctx, x, list, report)
	}
	if err = errors.Join(importing.WithExitCode(ctx, err), report.Close()); err == nil && failed > 0 {
		err = exit.With(exit.Partly, exit.ErrReported)
	}
	return err
}

// checkStore refuses an object store of another index: then the index is the wrong one,
// too. An import itself needs no store.
func (c *importCmd) checkStore(ctx context.Context, x wiring.Index) error {
	objects, err := wiring.OpenStoreToLook(c.ObjectStore, c.Data, zerolog.Nop())
	if err != nil {
		return err
	}
	defer objects.Close()
	return c.LocalIndex.RefuseOtherMark(ctx, x, objects)
}

// sourceOf returns the source that has the bytes of the rows.
func (c *importCmd) sourceOf(sources wiring.Sources) (wiring.Source, error) {
	switch all := sources.All(); {
	case c.FromBucket && sources.Bucket == nil:
		return nil, exit.Usagef("--from-bucket needs CAS_SOURCE_S3_ENDPOINT, CAS_SOURCE_S3_BUCKET and the keys")
	case c.FromBucket:
		return sources.Bucket, nil
	case c.FromFolder && sources.Folder == nil:
		return nil, exit.Usagef("--from-folder needs CAS_SOURCE_DIR")
	case c.FromFolder:
		return sources.Folder, nil
	case len(all) == 0:
		return nil, exit.Usagef("no source of the files is set; set CAS_SOURCE_S3_ENDPOINT, CAS_SOURCE_S3_BUCKET and the keys, or CAS_SOURCE_DIR")
	case len(all) > 1:
		return nil, exit.Usagef("CAS_SOURCE_S3_ENDPOINT and CAS_SOURCE_DIR are both set; unset the one that does not have these files")
	default:
		return all[0], nil
	}
}

// importList is a list of rows to import.
type importList struct {
	rows   importer.Rows
	total  int64 // 0 if it is not known
	source wiring.Source
	close  func()
}

// open opens the list that the flags name.
func (c *importCmd) open(ctx context.Context, std terminal.Streams, source wiring.Source) (importList, error) {
	list := importList{source: source, close: func() {}}
	mapping, err := c.Mapping()
	if err != nil {
		return importList{}, err
	}
	switch {
	case c.FromPostgres:
		table, err := c.OldTable.Open()
		if err != nil {
			return importList{}, err
		}
		if list.total, err = table.Count(ctx); err != nil {
			return importList{}, err
		}
		list.rows = table.Rows(ctx)
	case c.FromCSV != "" || c.FromJSONL != "":
		var in io.ReadCloser
		if name := c.FromCSV + c.FromJSONL; name == argument.StdinPath { // one of them is empty
			in = terminal.ReaderUntil(ctx, std.In)
		} else if in, err = os.Open(name); err != nil {
			return importList{}, exit.With(exit.Usage, err)
		}
		list.close = func() { in.Close() }
		lines := transfer.ContextReader{Context: ctx, Reader: in}
		if c.FromCSV != "" {
			list.rows = importer.CSV(lines, mapping)
		} else {
			list.rows = importer.JSONLines(lines, mapping)
		}
	default:
		list.rows = source.Rows(ctx)
	}
	return list, nil
}

// importRows imports the list and prints the counts. It returns how many rows failed.
func (c *importCmd) importRows(ctx context.Context, x wiring.Index, list importList, report *importing.Report) (failed int64, err error) {
	var sofar atomic.Pointer[importer.ImportCounts]
	sofar.Store(&importer.ImportCounts{})
	counter := report.Shown.Counting("importing", list.total, func() string {
		return fmt.Sprintf("%d failed", sofar.Load().Failed)
	})
	records := wiring.StartJournal(x, zerolog.New(report.Shown.Stderr()).Level(zerolog.WarnLevel))
	defer records.Close()
	start := time.Now()
	counts, err := importer.Import(ctx, list.rows, importer.ImportOptions{
		Index: x, Source: list.source.Name(), WithDeleted: c.WithDeleted, Report: report.Add,
		Progress: func(n importer.ImportCounts) { sofar.Store(&n); counter.Set(n.Rows) },
	})
	counter.Done()
	records.Add(journal.Record{Kind: journal.KindImport, Bytes: counts.Bytes}, start, err)
	line := fmt.Sprintf("%d rows: %d imported (%s), %d known already or deleted here, %d failed", counts.Rows, counts.Imported, terminal.Size(counts.Bytes), counts.Already, counts.Failed)
	if counts.Noted > 0 {
		line += fmt.Sprintf("; of those imported %d lost something", counts.Noted)
	}
	return counts.Failed, errors.Join(err, report.PrintCounts(counts, line))
}

// survey reports what an import would do. It returns how many rows would fail.
func (c *importCmd) survey(ctx context.Context, x wiring.Index, list importList, report *importing.Report) (failed int64, err error) {
	known := func(ctx context.Context, ids []string) ([]string, error) {
		return x.KnownImports(ctx, ids, cas.ImportFilesOptions{WithDeleted: c.WithDeleted})
	}
	survey := importer.NewSurvey(importer.SurveyOptions{
		Sources: []importer.Statter{list.source}, Known: known, Missing: x.Missing, MaxSize: int64(c.MaxBlobSize), Report: report.Add,
	})
	counter := report.Shown.Counting("looking", list.total, func() string {
		return fmt.Sprintf("%d would fail", survey.Counts().WouldFail)
	})
	err = survey.Rows(ctx, list.rows, list.source.Name(), counter.Set)
	counter.Done()
	counts := survey.Counts()
	line := fmt.Sprintf("%d rows: %s to import, %d known already or deleted here, %d duplicates by digest, %d would fail",
		counts.Files, terminal.Size(counts.Bytes), counts.Already, counts.Duplicates, counts.WouldFail)
	return counts.WouldFail, errors.Join(err, report.PrintCounts(counts, line))
}
