package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"casgate/cmd/cas/internal/exit"
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
	if err := checkPlace(w.Path); err != nil {
		return err
	}
	if _, err := os.Lstat(w.Path); err == nil && !w.Replace {
		return ExistsError(w.Path)
	}
	file, err := os.CreateTemp(filepath.Dir(w.Path), "."+shortenName(filepath.Base(w.Path))+".*"+partialExtension)
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

const (
	// maxName is the longest name of a file that most systems take, in bytes.
	maxName          = 255
	partialExtension = ".partial"
	// partialRoom is what the name of a partial file has beside the file's own, in bytes: two
	// dots, the extension, and a short digest (12) or random digits (10).
	partialRoom = 24
)

// shortenName cuts a file's name, so that the name of its partial file is not too long.
func shortenName(name string) string {
	if len(name) <= maxName-partialRoom {
		return name
	}
	return strings.ToValidUTF8(name[:maxName-partialRoom], "")
}

// naming returns an error about the partial file as one about the file that the user has named.
func naming(path string, err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return &fs.PathError{Op: failed.Op, Path: terminal.Printable(path), Err: failed.Err}
	}
	return err
}

// checkPlace refuses a device and a pipe, whose place a file must not take, and a name that the
// file system doesn't take.
func checkPlace(path string) error {
	there, err := os.Stat(path)
	switch {
	case errors.Is(err, syscall.ENAMETOOLONG):
		return exit.Usagef("%s has a name of %d bytes, which is too long for a file here; -o FILE gives another name", terminal.Printable(path), len(filepath.Base(path)))
	case err == nil && !there.Mode().IsRegular(), isDescriptor(path):
		return fmt.Errorf("%s is not a regular file, and is not replaced; -o FILE gives another name", terminal.Printable(path))
	}
	return nil
}

// isDescriptor reports whether a path is a link to an open file of the process, as /dev/stdout is.
// A file in its place would break other programs.
func isDescriptor(path string) bool {
	to, err := os.Readlink(path)
	return err == nil && (strings.HasPrefix(to, "/proc/") || filepath.Dir(path) == "/dev" && strings.HasPrefix(to, "fd/")) // fd: on macOS
}

// place gives a file its final name. It never takes the place of a device or a pipe.
func place(from, to string, replace bool) error {
	if err := checkPlace(to); err != nil {
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
