//go:build !linux

package folderstore

import (
	"errors"
	"os"
)

// checkUnshared returns an error: whether a file on disk is open elsewhere is known on Linux only.
func checkUnshared(f *os.File) error {
	return &os.PathError{Op: "lease", Path: f.Name(), Err: errors.ErrUnsupported}
}
