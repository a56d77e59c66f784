package terminal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// ErrInterrupted means that Ctrl-C was typed in answer to a question.
var ErrInterrupted = errors.New("interrupted")

// AskSecret asks on a terminal for a line that the terminal doesn't show. Ctrl-C ends it with
// ErrInterrupted, and a ctx that is done with the error of ctx. The terminal gets its former
// state back in each case.
func (s Streams) AskSecret(ctx context.Context, in *os.File, prompt string) (string, error) {
	// In raw mode Ctrl-C is a byte, and no signal can end the process before the mode is
	// restored. Another signal makes ctx done.
	former, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return "", fmt.Errorf("turn off the echo of the terminal: %w", err)
	}
	defer term.Restore(int(in.Fd()), former)
	type answer struct {
		line string
		err  error
	}
	typed := make(chan answer, 1)
	go func() { // the end of the process ends a read that waits
		keys := &keyboard{Reader: in}
		var a answer
		a.line, a.err = term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{keys, s.Err}, "").ReadPassword(prompt)
		if keys.interrupted {
			a.err = ErrInterrupted
		}
		typed <- a
	}()
	select {
	case a := <-typed:
		if errors.Is(a.err, io.EOF) { // no Enter has ended the line
			fmt.Fprint(s.Err, "\r\n")
		}
		return a.line, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// keyboard knows whether Ctrl-C was typed.
type keyboard struct {
	io.Reader
	interrupted bool
}

const ctrlC = 3

func (k *keyboard) Read(p []byte) (int, error) {
	n, err := k.Reader.Read(p)
	k.interrupted = k.interrupted || bytes.IndexByte(p[:n], ctrlC) >= 0
	return n, err
}
