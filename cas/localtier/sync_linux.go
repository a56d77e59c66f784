package localtier

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncDisk makes everything on the file system of a disk file durable.
func syncDisk(f *os.File) error { return unix.Syncfs(int(f.Fd())) }
