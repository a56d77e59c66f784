package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"casgate/cas/importer"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/terminal"
)

// shownProblems is how many problems are shown where no file takes them all.
const shownProblems = 20

// problemReport takes the problems of an import or a backfill: to a file where one
// is given, and the first of them to standard error otherwise.
type problemReport struct {
	shown   *terminal.Progress
	file    *os.File // nil: there is none
	buffer  *bufio.Writer
	encoder *json.Encoder
	count   int
	err     error // the first one of the file
}

func newProblemReport(path string, shown *terminal.Progress) (*problemReport, error) {
	r := &problemReport{shown: shown}
	if path == "" {
		return r, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, exit.Usagef("--report: %w", err)
	}
	r.file, r.buffer = file, bufio.NewWriter(file)
	r.encoder = json.NewEncoder(r.buffer)
	r.encoder.SetEscapeHTML(false)
	return r, nil
}

// add reports one problem.
func (r *problemReport) add(p importer.Problem) {
	r.count++
	switch {
	case r.file != nil:
		if r.err == nil {
			r.err = r.encoder.Encode(p)
		}
	case r.count <= shownProblems:
		what := p.Row
		if what == "" {
			what = p.Key
		}
		terminal.PrintError(r.shown.Stderr(), what, fmt.Errorf("%s: %s", p.Outcome, p.Reason))
	}
}

// close writes out what is held back.
func (r *problemReport) close() error {
	if r.file == nil {
		if more := r.count - shownProblems; more > 0 {
			r.shown.Note("… and %d more; --report FILE takes them all", more)
		}
		return nil
	}
	err := errors.Join(r.err, r.buffer.Flush(), r.file.Close())
	if err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	if r.count > 0 {
		r.shown.Note("%d problems are in %s", r.count, terminal.Printable(r.file.Name()))
	}
	return nil
}

// printCounts prints what came of a run: the counts as JSON, or a line for people.
func printCounts(w io.Writer, asJSON bool, counts any, line string) error {
	if asJSON {
		return terminal.PrintJSON(w, counts)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
