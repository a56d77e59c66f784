package folderstore

import (
	"fmt"
	"io/fs"
)

// version returns a disk file's version.
func version(info fs.FileInfo) string {
	return fmt.Sprintf("%d %d %s", info.Size(), info.ModTime().UnixNano(), identity(info))
}
