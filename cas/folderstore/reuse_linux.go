package folderstore

import (
	"os"

	"golang.org/x/sys/unix"
)

// checkUnshared returns an error if a file on disk, which is open for writing here, may be open
// elsewhere, too: in another process, such as a backup. The kernel gives a write lease only if it is not
// (fcntl(2), F_SETLEASE). A file system without leases gives none.
func checkUnshared(f *os.File) error {
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		return &os.PathError{Op: "lease", Path: f.Name(), Err: err}
	}
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	return err
}
