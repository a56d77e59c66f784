package localtier

import (
	"os"

	"golang.org/x/sys/unix"
)

// noFollow keeps an open from following a symbolic link.
const noFollow = unix.O_NOFOLLOW

// syncDisk makes everything on the file system of a file durable.
func syncDisk(f *os.File) error { return unix.Syncfs(int(f.Fd())) }
