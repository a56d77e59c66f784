package sqliteindex

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ErrLogAlone: the log of the changes (the -wal file) has entries, and the database file that
// they belong to is gone.
var ErrLogAlone = errors.New("the file is missing or empty, but its -wal file is there, with the newest changes, or all of them; a new index would remove it")

// CheckLog returns an error that wraps ErrLogAlone if path, a database file, is missing or
// empty, and its log is not. SQLite removes the log of an empty database as it opens it. After a
// crash the log may have all that was ever committed.
func CheckLog(path string) error {
	// The log goes first: a process that makes an index at this moment writes to the file, then
	// to the log.
	if log, err := os.Stat(path + "-wal"); err != nil || log.Size() == 0 {
		return nil // what else is wrong with the folder is seen as the file is opened
	}
	if file, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && file.Size() == 0 {
		return fmt.Errorf("open index %s: %w", path, ErrLogAlone)
	}
	return nil
}
