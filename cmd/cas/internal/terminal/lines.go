package terminal

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Lines writes lines until the first error, and keeps that error.
type Lines struct {
	W   io.Writer
	Err error
}

// Printf writes one line.
func (l *Lines) Printf(format string, args ...any) {
	if l.Err == nil {
		_, l.Err = fmt.Fprintf(l.W, format+"\n", args...)
	}
}

// Table writes rows as they come. Its columns have fixed widths, so that no row has
// to wait for the rows after it.
type Table struct {
	W      io.Writer
	Format string // of a row, as for fmt.Sprintf
	Head   []any  // the cells of the first row

	begun bool
}

// Row writes a row, and before the first one the head.
func (t *Table) Row(cells ...any) error {
	if !t.begun {
		t.begun = true
		if err := t.write(t.Head); err != nil {
			return err
		}
	}
	return t.write(cells)
}

func (t *Table) write(cells []any) error {
	_, err := fmt.Fprintln(t.W, strings.TrimRight(fmt.Sprintf(t.Format, cells...), " "))
	return err
}

// PrintJSON writes v as one line of JSON.
func PrintJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// PrintError writes the error of one of several things that a command works on.
func PrintError(w io.Writer, subject string, err error) {
	fmt.Fprintf(w, "cas: %s: %s\n", Printable(subject), WithoutControls(err.Error()))
}

// Fail writes the error of a whole command.
func Fail(w io.Writer, err error) { fmt.Fprintf(w, "cas: %s\n", WithoutControls(err.Error())) }
