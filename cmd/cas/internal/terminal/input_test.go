package terminal

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

func TestReaderUntil(t *testing.T) {
	whole, err := io.ReadAll(ReaderUntil(t.Context(), strings.NewReader("all of it")))
	if string(whole) != "all of it" || err != nil {
		t.Errorf("%q, %v", whole, err)
	}
	broken := errors.New("broken")
	half, err := io.ReadAll(ReaderUntil(t.Context(), io.MultiReader(strings.NewReader("half"), failingReader{broken})))
	if string(half) != "half" || !errors.Is(err, broken) {
		t.Errorf("%q, %v", half, err)
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// A read that waits for bytes ends with the context.
func TestReaderUntilEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		src, writer := io.Pipe()
		in := ReaderUntil(ctx, src)
		read := make(chan error)
		go func() {
			_, err := in.Read(make([]byte, 10))
			read <- err
		}()
		synctest.Wait() // until the read waits
		signal := errors.New("a signal")
		cancel(signal)
		if err := <-read; !errors.Is(err, signal) {
			t.Errorf("the read ends with %v", err)
		}
		writer.Close() // ends the read of the source
	})
}
