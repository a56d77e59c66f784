package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"casgate/cas/importer"
)

// shownProblems is how many problems are shown where no file takes them all.
const shownProblems = 20

// problemReport takes the problems of an import or a backfill: to a file where one
// is given, and the first of them to standard error otherwise.
type problemReport struct {
	shown   *progress
	file    *os.File // nil: there is none
	buffer  *bufio.Writer
	encoder *json.Encoder
	count   int
	err     error // the first one of the file
}

func newProblemReport(path string, shown *progress) (*problemReport, error) {
	r := &problemReport{shown: shown}
	if path == "" {
		return r, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, usageError{fmt.Errorf("--report: %w", err)}
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
		printError(r.shown.stderr(), what, fmt.Errorf("%s: %s", p.Outcome, p.Reason))
	}
}

// close writes out what is held back.
func (r *problemReport) close() error {
	if r.file == nil {
		if more := r.count - shownProblems; more > 0 {
			r.shown.note("… and %d more; --report FILE takes them all", more)
		}
		return nil
	}
	err := errors.Join(r.err, r.buffer.Flush(), r.file.Close())
	if err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	if r.count > 0 {
		r.shown.note("%d problems are in %s", r.count, display(r.file.Name()))
	}
	return nil
}

// counting shows how far a long run is: a bar with an estimate where the total is
// known, which is above 0 then. The text beside it is asked for time and again.
func (p *progress) counting(what string, total int64, text func() string) (set func(int64), done func()) {
	if p.bars == nil {
		return func(int64) {}, func() {}
	}
	beside := decor.Any(func(decor.Statistics) string { return "  " + text() })
	if total <= 0 {
		bar := p.bars.New(0, mpb.SpinnerStyle(),
			mpb.PrependDecorators(decor.Name(what+" "), decor.CurrentNoUnit("%d ")),
			mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_GO), beside),
			mpb.BarRemoveOnComplete())
		return bar.SetCurrent, func() { bar.Abort(true) }
	}
	bar := p.bars.New(total, mpb.BarStyle(),
		mpb.PrependDecorators(decor.Name(what+" "), decor.CountersNoUnit("%d / %d ")),
		mpb.AppendDecorators(decor.Percentage(), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO), decor.Name(" left"), beside),
		mpb.BarRemoveOnComplete())
	return bar.SetCurrent, func() { bar.Abort(true) }
}

// printCounts prints what came of a run: the counts as JSON, or a line for people.
func printCounts(w io.Writer, asJSON bool, counts any, line string) error {
	if asJSON {
		return printJSON(w, counts)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
