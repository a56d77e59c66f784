// Package terminal writes the output of a command: results to standard output;
// progress, notes and errors to standard error. It knows nothing about blobs and
// gateways.
package terminal

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// Streams are the standard streams of a command.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Activity knows what the screen shows; nil: nothing.
	Activity *Activity
}

// Interrupted writes that a signal ended the command, on a line of its own: the terminal
// may show ^C on the present one.
func (s Streams) Interrupted(more string) {
	clear := ""
	if IsTerminal(s.Err) {
		clear = "\r\x1b[K"
	}
	if more != "" {
		more = "; " + WithoutControls(more)
	}
	fmt.Fprintf(s.Err, "%scas: interrupted%s\n", clear, more)
}

// IsTerminal reports whether a reader or writer is a terminal.
func IsTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
