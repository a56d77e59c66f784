package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"casgate/cmd/cas/internal/terminal"
)

// ContextReader is a reader whose reads fail after its context is done.
type ContextReader struct {
	Context context.Context
	io.Reader
}

// Read implements io.Reader.
func (r ContextReader) Read(p []byte) (int, error) {
	if r.Context.Err() != nil {
		return 0, context.Cause(r.Context)
	}
	return r.Reader.Read(p)
}

// ExistsError is the error of an output file that exists already.
func ExistsError(path string) error {
	return fmt.Errorf("%s exists already; --force replaces it, -o FILE gives another name", terminal.Printable(path))
}

// writeWhole writes the bytes of r to a file. The file gets its name only when it is
// complete.
func writeWhole(r io.Reader, path string, replace bool) (n int64, err error) {
	if _, err := os.Lstat(path); err == nil && !replace {
		return 0, ExistsError(path)
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.partial")
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(file, r)
	err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close())
	if err == nil {
		err = place(file.Name(), path, replace)
	}
	if err != nil {
		if removeErr := os.Remove(file.Name()); removeErr != nil {
			return 0, fmt.Errorf("%w (and its partial file could not be removed: %w)", err, removeErr)
		}
	}
	return n, err
}

// place gives a file its final name. It never takes the place of a device or a pipe.
func place(from, to string, replace bool) error {
	if there, err := os.Stat(to); err == nil && !there.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file, and is not replaced; -o FILE gives another name", terminal.Printable(to))
	}
	if !replace {
		// Unlike a rename, a link never replaces a file that has appeared meanwhile.
		err := os.Link(from, to)
		switch {
		case err == nil:
			return os.Remove(from)
		case errors.Is(err, fs.ErrExist):
			return ExistsError(to)
		}
		if _, err := os.Lstat(to); err == nil { // a file system without links
			return ExistsError(to)
		}
	}
	return os.Rename(from, to)
}
