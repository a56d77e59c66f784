package folderstore

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// reserve asks the file system for the blocks of a file on disk, which keeps its size. It
// returns an error only if there is no room for them: many file systems can't do it.
func reserve(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
	}
	return nil
}
