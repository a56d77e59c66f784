package pgindex

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/time/rate"

	"casgate/cas"
)

// readOnlyCodes are the SQLSTATEs of a server that takes no writes now, such as a primary
// that became a standby. It need not close its connections, so they would stay in the
// pool though the database's URL names another host that takes writes.
var readOnlyCodes = []string{
	"25006", // read_only_sql_transaction
	"57P01", // admin_shutdown
	"57P02", // crash_shutdown
	"57P03", // cannot_connect_now
}

// isReadOnly reports whether an error is that of a server that takes no writes.
func isReadOnly(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(readOnlyCodes, pgErr.Code)
}

// resetInterval is the least time between two resets of the pool. A server that stays
// read-only must not cost a new connection for each write.
const resetInterval = time.Second

// writeWatcher replaces all connections when the server of one takes no writes. It
// implements pgx.QueryTracer, and pgx.BatchTracer for statements that are sent together.
type writeWatcher struct {
	reset   func()
	seldom  rate.Sometimes
	onQuery atomic.Pointer[func(took time.Duration, outcome QueryOutcome)] // nil: none is set
}

var (
	_ pgx.QueryTracer = (*writeWatcher)(nil)
	_ pgx.BatchTracer = (*writeWatcher)(nil)
)

// TraceQueryEnd implements pgx.QueryTracer.
func (w *writeWatcher) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, end pgx.TraceQueryEndData) {
	w.end(ctx, end.Err)
}

// TraceBatchEnd implements pgx.BatchTracer. A row that was not found is no failure of the
// server.
func (w *writeWatcher) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, end pgx.TraceBatchEndData) {
	if errors.Is(end.Err, pgx.ErrNoRows) {
		end.Err = nil
	}
	w.end(ctx, end.Err)
}

// end reports a query that has ended, and replaces the connections if their server takes no
// writes.
func (w *writeWatcher) end(ctx context.Context, err error) {
	w.report(ctx, err)
	if err != nil && isReadOnly(err) {
		w.seldom.Do(w.reset)
	}
}

// checkWritable returns an error if the database takes no writes.
func (x *Index) checkWritable(ctx context.Context) error {
	call, cancel := x.bounded(ctx)
	defer cancel()
	var isReadOnly bool
	if err := x.pool.QueryRow(call, `select current_setting('transaction_read_only')::boolean`).Scan(&isReadOnly); err != nil {
		return fault(ctx, "reach the database", err)
	}
	if isReadOnly {
		x.watcher.seldom.Do(x.watcher.reset)
		return fmt.Errorf("%w: a standby, or default_transaction_read_only is on", cas.ErrIndexReadOnly)
	}
	return nil
}
