package sqliteindex

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"casgate/cas"
)

// ErrDamaged: pages of the database file are damaged. Each error that wraps it wraps
// cas.ErrIndexUnavailable, too.
var ErrDamaged = errors.New("the index's file is damaged")

// CheckPages reads the whole file and returns an error that wraps ErrDamaged if SQLite
// finds pages wrong. It takes about a second for each gigabyte that the system has in
// memory, and blocks nothing. It ends when ctx is done.
func (x *Index) CheckPages(ctx context.Context) error {
	var found string
	err := x.reader.QueryRowContext(ctx, "pragma quick_check(1)").Scan(&found)
	if isDamaged(err) {
		return fmt.Errorf("%w: %w: %s: %w", cas.ErrIndexUnavailable, ErrDamaged, x.path, err)
	}
	if err != nil {
		return fault(ctx, "check the pages of "+x.path, err)
	}
	if found != "ok" {
		return fmt.Errorf("%w: %w: %s: %s", cas.ErrIndexUnavailable, ErrDamaged, x.path, found)
	}
	return nil
}

// isDamaged reports whether SQLite found a page or the file's header wrong.
func isDamaged(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code()&0xff == sqlite3.SQLITE_CORRUPT || e.Code()&0xff == sqlite3.SQLITE_NOTADB)
}
