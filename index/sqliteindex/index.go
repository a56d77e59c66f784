// Package sqliteindex is the index of an embedded deployment: one SQLite file, pure Go,
// for one gateway on one machine. Other processes on that machine, such as `cas token`,
// may open the same file while the gateway runs.
//
// SQLite has one writer at a time. So all writes use a single connection, for which
// they wait in order, and can give up. Reads have connections of their own, which a
// write never blocks. Times come from this process's clock, in microseconds.
package sqliteindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
	"modernc.org/sqlite"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/providers/ledger"
)

var (
	_ cas.Index     = (*Index)(nil)
	_ ledger.Store  = (*Index)(nil)
	_ cas.FileIndex = (*Index)(nil)
	_ journal.Store = (*Index)(nil)
)

// callTimeout limits a call whose context doesn't end sooner. It is longer than the 5 s
// for which SQLite itself waits for another process's lock.
const callTimeout = 10 * time.Second

// Index is an index in an SQLite file. It is safe for concurrent use.
type Index struct {
	path    string
	reserve reserve
	writer  *sql.DB // one connection; every transaction takes the write lock as it begins
	reader  *sql.DB // can't write

	searches *semaphore.Weighted // leaves readers for other calls, see search
}

// Open opens the database file. If there is none, it creates one that only its owner
// can read; the folder must exist. It makes no file beside the log of one that is gone: see
// CheckLog. It doesn't check the schema: see CheckSchema and Migrate.
func Open(ctx context.Context, path string) (*Index, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	if err := CheckLog(path); err != nil {
		return nil, err
	}
	if err := create(path); err != nil {
		return nil, fmt.Errorf("open index %s: %w: %w", path, cas.ErrIndexUnavailable, err)
	}
	x := &Index{path: path, reserve: reserve(path + "-reserve")}
	if x.writer, err = connect(path, "immediate", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"); err == nil {
		x.writer.SetMaxOpenConns(1)
		x.reader, err = connect(path, "deferred", "query_only(1)")
	}
	if err != nil {
		return nil, fmt.Errorf("open index %s: %w", path, err)
	}
	readers := max(4, runtime.GOMAXPROCS(0))
	x.reader.SetMaxOpenConns(readers)
	x.reader.SetMaxIdleConns(readers)
	x.searches = semaphore.NewWeighted(int64(max(1, readers/4)))
	// The writer goes first: it is the one that can switch the file to WAL.
	err = x.writer.PingContext(ctx)
	if isFull(err) && x.reserve.giveUp() {
		err = x.writer.PingContext(ctx)
	}
	if err != nil {
		x.Close()
		return nil, fault(ctx, "open index "+path, err)
	}
	if err := x.Check(ctx); err != nil {
		x.Close()
		return nil, err
	}
	x.reserve.fill()
	return x, nil
}

// create makes an empty database file if there is none. SQLite would use the
// permissions of the umask; it gives its other files the permissions of this one. An
// existing file is not even opened: closing it would drop the locks that this process
// holds on it.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// connect prepares connections to an existing file.
func connect(path, txLock string, pragmas ...string) (*sql.DB, error) {
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // C:/…
	}
	query := url.Values{"mode": {"rw"}, "_txlock": {txLock}, "_pragma": append([]string{"busy_timeout(5000)"}, pragmas...)}
	dsn := url.URL{Scheme: "file", Path: slashed, RawQuery: query.Encode()}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(caching{connector}), nil
}

// Close closes the file. Running calls fail. Errors of closing are ignored: each write
// was durable when it returned.
func (x *Index) Close() {
	x.reader.Close()
	x.writer.Close()
}

// Check implements cas.Index with a read of the file.
func (x *Index) Check(ctx context.Context) error {
	call, cancel := bounded(ctx)
	defer cancel()
	var version int64
	if err := x.reader.QueryRowContext(call, "pragma schema_version").Scan(&version); err != nil {
		return fault(ctx, "read the index", err)
	}
	return nil
}

// write runs f in a transaction that has the write lock from its beginning. It returns
// nil once the work is committed and on the disk. A single statement can't do that: if
// it returns rows, SQLite commits when the rows are closed, and an error of the commit
// would be lost.
func (x *Index) write(ctx context.Context, f func(ctx context.Context, tx *sql.Tx) error) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	tx, err := x.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	if err := f(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// free is write for work that makes room, or lets the collector make it. On a full disk it
// gives up the reserve, and if that is not enough, begins the log anew, and tries again.
func (x *Index) free(ctx context.Context, f func(ctx context.Context, tx *sql.Tx) error) error {
	err := x.write(ctx, f)
	if isFull(err) && x.reserve.giveUp() {
		err = x.write(ctx, f)
	}
	if isFull(err) && x.restartLog(ctx) {
		err = x.write(ctx, f)
	}
	return err
}

// restartLog copies the log into the database, so that the next write goes to the log's
// beginning, where it needs no room on the disk. It reports whether that was done: a full disk
// may have no room for new pages of the database, and readers may need the log.
func (x *Index) restartLog(ctx context.Context) bool {
	call, cancel := bounded(ctx)
	defer cancel()
	var isBusy, pages, copied int64
	err := x.writer.QueryRowContext(call, "pragma wal_checkpoint(restart)").Scan(&isBusy, &pages, &copied)
	return err == nil && isBusy == 0
}

// one reads the query's only row, by the reader.
func (x *Index) one(ctx context.Context, query string, d cas.Digest, more ...any) (cas.Blob, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return blobTable.Scan(x.reader.QueryRowContext(ctx, query, d[:]), more...)
}

// bounded returns a context with the time limit of a call. Errors are classified by
// the caller's own context, not by this one.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTimeout)
}

// fault returns the error of an operation that failed through no fault of the caller.
// If the caller's own context is done, the error wraps the context's error too, so that
// a client that left doesn't count as an outage. The driver's error is kept as text
// only: its time-outs are ours, and must not look like the caller's.
func fault(ctx context.Context, doing string, err error) error {
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%s: %w: %w", doing, cas.ErrIndexUnavailable, cause)
	}
	if isFull(err) {
		return fmt.Errorf("%s: %w for the index: %v", doing, cas.ErrNoSpace, err)
	}
	if isDamaged(err) {
		return fmt.Errorf("%s: %w: %w: %v", doing, cas.ErrIndexUnavailable, ErrDamaged, err)
	}
	return fmt.Errorf("%s: %w: %v", doing, cas.ErrIndexUnavailable, err)
}

// blobFault is fault for an operation on one blob. It turns "no row" into
// cas.ErrBlobNotFound.
func blobFault(ctx context.Context, doing string, d cas.Digest, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s blob %s: %w", doing, d.Short(), cas.ErrBlobNotFound)
	}
	return fault(ctx, doing+" blob "+d.Short(), err)
}

// now is the index's clock.
func now() int64 { return time.Now().UnixMicro() }

// toMicros converts a time to microseconds since 1970. The zero time is null.
func toMicros(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: !t.IsZero()}
}
