// Package terminal writes the output of a command: results to standard output;
// progress, notes and errors to standard error. It knows nothing about blobs and
// gateways.
package terminal

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/term"
)

// Streams are the standard streams of a command.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Activity knows what the screen shows; nil: nothing.
	Activity *Activity
}

// NotedWriter is a writer that knows whether anything was written.
type NotedWriter struct {
	io.Writer
	written atomic.Bool
}

// Write implements io.Writer.
func (w *NotedWriter) Write(p []byte) (int, error) {
	w.written.Store(true)
	return w.Writer.Write(p)
}

// IsWritten reports whether anything was written.
func (w *NotedWriter) IsWritten() bool { return w.written.Load() }

// Interrupted writes that a signal ended the command, on a line of its own: the terminal
// may show ^C on the present one.
func (s Streams) Interrupted(more string) {
	clear := ""
	switch {
	case IsTerminal(s.Err) && isDumb():
		clear = "\n"
	case IsTerminal(s.Err):
		clear = "\r\x1b[K"
	}
	if more != "" {
		more = "; " + WithoutControls(more)
	}
	fmt.Fprintf(s.Err, "%scas: interrupted%s\n", clear, more)
}

// isDumb reports whether the terminal knows no control sequences, as it says itself.
func isDumb() bool { return os.Getenv("TERM") == "dumb" }

// WantsColors reports whether a terminal may get colours: see https://no-color.org.
func WantsColors() bool { return os.Getenv("NO_COLOR") == "" && !isDumb() }

// Width returns the columns of a terminal; 0: it is none, or does not say.
func Width(stream any) int {
	if noted, ok := stream.(*NotedWriter); ok {
		stream = noted.Writer
	}
	file, ok := stream.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// IsTerminal reports whether a reader or writer is a terminal.
func IsTerminal(stream any) bool {
	if noted, ok := stream.(*NotedWriter); ok {
		stream = noted.Writer
	}
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
