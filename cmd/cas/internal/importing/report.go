// Package importing has the parts that cas import, cas backfill and cas reindex share.
package importing

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"casgate/cas/importer"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/terminal"
)

// maxShown is the number of problems that are printed if no file gets them all.
const maxShown = 20

// Report collects the problems of a long command: in a file if one is given, else
// it prints the first of them to standard error.
type Report struct {
	Shown   *terminal.Progress
	json    bool
	file    *os.File // nil: none
	buffer  *bufio.Writer
	encoder *json.Encoder
	count   int
	err     error // the first one of the file
}

// ReportOptions are the options of a Report.
type ReportOptions struct {
	Path string // of the file; empty: none
	JSON bool   // print the counts as JSON
}

// NewReport creates the file of a report.
func NewReport(shown *terminal.Progress, o ReportOptions) (*Report, error) {
	r := &Report{Shown: shown, json: o.JSON}
	if o.Path == "" {
		return r, nil
	}
	file, err := os.Create(o.Path)
	if err != nil {
		return nil, exit.Usagef("--report: %w", err)
	}
	r.file, r.buffer = file, bufio.NewWriter(file)
	r.encoder = json.NewEncoder(r.buffer)
	r.encoder.SetEscapeHTML(false)
	return r, nil
}

// Add reports one problem.
func (r *Report) Add(p importer.Problem) {
	r.Print(p, cmp.Or(p.Row, p.Key), fmt.Errorf("%s: %s", p.Outcome, p.Reason))
}

// Print reports one problem: the file gets it as JSON, standard error a name and a reason.
// It is not safe for concurrent use.
func (r *Report) Print(problem any, name string, reason error) {
	r.count++
	switch {
	case r.file != nil:
		if r.err == nil {
			r.err = r.encoder.Encode(problem)
		}
	case r.count <= maxShown:
		terminal.PrintError(r.Shown.Stderr(), name, reason)
	}
}

// Close writes the buffered problems and closes the file.
func (r *Report) Close() error {
	if r.file == nil {
		if more := r.count - maxShown; more > 0 {
			r.Shown.Note("… and %d more; --report FILE writes all of them to a file", more)
		}
		return nil
	}
	err := errors.Join(r.err, r.buffer.Flush(), r.file.Close())
	if err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	if r.count > 0 {
		r.Shown.Note("%d problems are in %s", r.count, terminal.Printable(r.file.Name()))
	}
	return nil
}

// PrintCounts prints the result of a run: a line, or the counts as JSON.
func (r *Report) PrintCounts(counts any, line string) error {
	if r.json {
		return terminal.PrintJSON(r.Shown.Stdout(), counts)
	}
	_, err := fmt.Fprintln(r.Shown.Stdout(), line)
	return err
}
