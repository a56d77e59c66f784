package importer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"casgate/cas"
)

// importBatch is the number of files that are stored in one call.
const importBatch = 500

// FileImporter is the part of cas.FileIndex that an import needs.
type FileImporter interface {
	ImportFiles(ctx context.Context, files []cas.File, o cas.ImportFilesOptions) (stored []string, err error)
}

// Problem is a row or a file with an error.
type Problem struct {
	// Row is the old id, or the row's position in the list.
	Row    string `json:"row,omitempty"`
	FileID string `json:"file_id,omitempty"`
	Key    string `json:"storage_path,omitempty"`
	// Outcome is the result for the row or the file.
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason"`
}

// Outcome is the result for a row or a file.
type Outcome string

// The outcomes that are reported.
const (
	// Imported: the row is a file now, but a part of it could not be kept.
	Imported Outcome = "imported"
	// Failed: the row could not be imported, or the file's bytes could not be taken in.
	// Another run fails too, unless the reason is removed.
	Failed Outcome = "failed"
	// PutOff: a server was unavailable; the next run tries again.
	PutOff Outcome = "put off"
)

// ImportOptions configures an Import.
type ImportOptions struct {
	Index FileImporter
	// Source is the name of the cas.Source with the bytes.
	Source string
	// WithDeleted imports also the rows whose files were deleted.
	WithDeleted bool
	// Report is called for each row with an error. Optional.
	Report func(Problem)
	// Progress is called with the counts after each batch. Optional.
	Progress func(ImportCounts)
	// Patience is the time for which the import waits for an unavailable index; 0 means
	// 30 s.
	Patience time.Duration
}

// ImportCounts counts the rows of an import.
type ImportCounts struct {
	Rows     int64 `json:"rows"`
	Imported int64 `json:"imported"` // became files
	Already  int64 `json:"already"`  // were files before, which may be deleted
	Noted    int64 `json:"noted"`    // of those imported, rows of which a part was lost, as reported
	Failed   int64 `json:"failed"`   // could not be imported, as reported
	Bytes    int64 `json:"bytes"`    // recorded sizes of those imported
}

// Import creates a file for each row. A row whose file exists, or was deleted, changes nothing, so
// an import may be repeated, or killed and started again. Errors: those that end the rows,
// and cas.ErrIndexUnavailable. The rows counted until then are imported.
func Import(ctx context.Context, rows Rows, o ImportOptions) (ImportCounts, error) {
	run := &importRun{ImportOptions: o, ids: make(map[string]struct{}, importBatch)}
	for row, err := range rows {
		if ctx.Err() != nil {
			return run.counts, context.Cause(ctx)
		}
		if err := run.take(row, err); err != nil {
			return run.counts, errors.Join(err, run.flush(ctx))
		}
		if len(run.batch) == importBatch {
			if err := run.flush(ctx); err != nil {
				return run.counts, err
			}
		}
	}
	return run.counts, run.flush(ctx)
}

// importRun is the state of one Import.
type importRun struct {
	ImportOptions
	counts ImportCounts
	batch  []importItem
	ids    map[string]struct{} // of the batch
}

// importItem is a file to store, with notes on the parts of its row that are lost.
type importItem struct {
	file  cas.File
	row   string
	notes []string
}

// take adds a row to the batch as a file, or reports it as failed. It returns an error
// only if that ends the rows.
func (r *importRun) take(row Row, err error) error {
	wrong, isRow := errors.AsType[*RowError](err)
	if err != nil && !isRow {
		return err
	}
	r.counts.Rows++
	if isRow {
		r.fail(Problem{Row: wrong.Where, Reason: wrong.Err.Error()})
		return nil
	}
	f, notes, err := row.File(r.Source, time.Now())
	if err != nil {
		r.fail(Problem{Row: row.ID, Key: row.Key, Reason: err.Error()})
		return nil
	}
	if _, twice := r.ids[f.ID]; twice {
		r.counts.Already++
		return nil
	}
	r.ids[f.ID] = struct{}{}
	r.batch = append(r.batch, importItem{f, row.ID, notes})
	return nil
}

func (r *importRun) fail(p Problem) {
	r.counts.Failed++
	p.Outcome = Failed
	r.report(p)
}

func (r *importRun) report(p Problem) {
	if r.Report != nil {
		r.Report(p)
	}
}

// flush stores the batch.
func (r *importRun) flush(ctx context.Context) error {
	if len(r.batch) > 0 {
		if err := r.store(ctx, r.batch); err != nil {
			return fmt.Errorf("store %d files: %w", len(r.batch), err)
		}
		r.batch = r.batch[:0]
		clear(r.ids)
	}
	if r.Progress != nil {
		r.Progress(r.counts)
	}
	return nil
}

// store stores files, all or none, and counts them.
func (r *importRun) store(ctx context.Context, items []importItem) error {
	files := make([]cas.File, len(items))
	for i, item := range items {
		files[i] = item.file
	}
	ids, err := patiently(ctx, r.Patience, func() ([]string, error) {
		return r.Index.ImportFiles(ctx, files, cas.ImportFilesOptions{WithDeleted: r.WithDeleted})
	})
	if err != nil {
		return err
	}
	stored := make(map[string]bool, len(ids))
	for _, id := range ids {
		stored[id] = true
	}
	for _, item := range items {
		r.count(item, stored[item.file.ID])
	}
	return nil
}

func (r *importRun) count(item importItem, stored bool) {
	if !stored {
		r.counts.Already++
		return
	}
	r.counts.Imported++
	r.counts.Bytes += max(0, item.file.Size)
	if len(item.notes) > 0 {
		r.counts.Noted++
	}
	for _, note := range item.notes {
		r.report(Problem{Row: item.row, FileID: item.file.ID, Key: item.file.Origin.Key, Outcome: Imported, Reason: note})
	}
}
