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

// WholeFile is an output file that gets its name only when it is complete.
type WholeFile struct {
	Path    string
	Mode    fs.FileMode
	Replace bool // a file of this name
}

// Write makes the file from what write gives it. On an error nothing is left of it. A
// device or a pipe is refused before anything is written.
func (w WholeFile) Write(write func(io.Writer) error) error {
	if err := checkRegular(w.Path); err != nil {
		return err
	}
	if _, err := os.Lstat(w.Path); err == nil && !w.Replace {
		return ExistsError(w.Path)
	}
	file, err := os.CreateTemp(filepath.Dir(w.Path), "."+filepath.Base(w.Path)+".*.partial")
	if err != nil {
		return naming(w.Path, err)
	}
	if err = write(file); err == nil {
		err = errors.Join(file.Chmod(w.Mode), file.Sync())
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = place(file.Name(), w.Path, w.Replace)
	}
	if err != nil {
		if removeErr := os.Remove(file.Name()); removeErr != nil {
			return fmt.Errorf("%w (and its partial file could not be removed: %w)", err, removeErr)
		}
	}
	return err
}

// naming returns an error about the partial file as one about the file that the user has named.
func naming(path string, err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return &fs.PathError{Op: failed.Op, Path: terminal.Printable(path), Err: failed.Err}
	}
	return err
}

// checkRegular refuses a device and a pipe: a file must not take their place.
func checkRegular(path string) error {
	if there, err := os.Stat(path); err == nil && !there.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file, and is not replaced; -o FILE gives another name", terminal.Printable(path))
	}
	return nil
}

// place gives a file its final name. It never takes the place of a device or a pipe.
func place(from, to string, replace bool) error {
	if err := checkRegular(to); err != nil {
		return err
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
