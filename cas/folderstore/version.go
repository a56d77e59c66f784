package folderstore

import (
	"fmt"
	"io/fs"
)

// version returns the version of a file on disk.
func version(info fs.FileInfo) string {
	return fmt.Sprintf("%d %d %s", info.Size(), info.ModTime().UnixNano(), identity(info))
}
