//go:build !linux

package folderstore

import "io/fs"

// identity returns nothing: the fields of the inode of a file on disk are named otherwise on each
// system.
func identity(fs.FileInfo) string { return "" }

// hasOneName reports whether it is known that no other hard link leads to a file on disk.
func hasOneName(fs.FileInfo) bool { return false }
