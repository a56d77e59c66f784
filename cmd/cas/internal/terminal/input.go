package terminal

import (
	"context"
	"io"
)

// ReaderUntil returns a reader of src whose reads end with ctx, also one that waits for bytes
// on a terminal or a pipe. A read of src itself can't be ended: it goes on until the process
// ends, or until there are bytes. Close frees the reader, and leaves src open.
func ReaderUntil(ctx context.Context, src io.Reader) io.ReadCloser {
	out, in := io.Pipe()
	stop := context.AfterFunc(ctx, func() { in.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer stop()
		_, err := io.Copy(in, src)
		in.CloseWithError(err) // nil is the end of src
	}()
	return out
}
