package folderstore

import (
	"fmt"
	"io/fs"
	"syscall"
)

// identity returns the inode of a file on disk and the time of its last change, which no program
// can set, unlike the time of the last write.
func identity(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d %d %d.%d", stat.Dev, stat.Ino, stat.Ctim.Sec, stat.Ctim.Nsec)
}

// hasOneName reports whether no other hard link leads to a file on disk.
func hasOneName(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 1
}
