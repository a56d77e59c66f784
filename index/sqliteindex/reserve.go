package sqliteindex

import (
	"errors"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// reserveSize is enough for the log of some deletes, in bytes.
const reserveSize = 1 << 20

// reserve is a file on disk that takes up room beside the database. A delete needs room for
// its log before it makes any. So a delete on a full disk gives the reserve up.
type reserve string

// fill makes the reserve if there is none. Without room for it there is none.
func (r reserve) fill() {
	f, err := os.OpenFile(string(r), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return // there is one, or no room for a name
	}
	_, err = f.Write(make([]byte, reserveSize))
	if errors.Join(err, f.Close()) != nil {
		r.giveUp()
	}
}

// giveUp makes room, and reports whether there was a reserve.
func (r reserve) giveUp() bool { return os.Remove(string(r)) == nil }

// isFull reports whether an error says that the disk is full. The file of shared memory
// has an error of its own for that.
func isFull(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code()&0xff == sqlite3.SQLITE_FULL || e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE)
}
