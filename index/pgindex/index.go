// Package pgindex is the index of a served deployment: Postgres 14 or newer, shared by
// any number of gateways, directly or through a pooler in transaction mode (with
// default_query_exec_mode=exec in the URL).
//
// Every method is one statement and one round trip. In rare cases it is several
// statements that don't depend on each other's locks. So a pooler may run each on
// another connection, and a client that leaves never leaves a transaction open. Only
// Listen needs a session of its own.
package pgindex

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/index"
	"casgate/providers/ledger"
)

var (
	_ cas.Index     = (*Index)(nil)
	_ index.Feed    = (*Index)(nil)
	_ ledger.Store  = (*Index)(nil)
	_ cas.FileIndex = (*Index)(nil)
	_ journal.Store = (*Index)(nil)
)

// defaultCallTimeout is that of Options: a server that hangs must not hold a request for
// longer.
const defaultCallTimeout = 5 * time.Second

// Options selects the database.
type Options struct {
	// URL is the database's URL, postgres://…; it may be a pooler's.
	URL string
	// ListenURL is the URL of the same database without a pooler, for Listen. Empty means
	// URL.
	ListenURL string
	// ProbeInterval is how often Listen checks that notifications still arrive; 0 means
	// 1 s.
	ProbeInterval time.Duration
	// CallTimeout limits a call whose context doesn't end sooner; 0 means 5 s.
	CallTimeout time.Duration
	// Traces makes the spans of queries, below those of requests. Nil: there are none.
	Traces trace.TracerProvider
	// Log gets the events of the feed, which no caller sees. Its zero value discards
	// them.
	Log zerolog.Logger
}

// Index is an index in Postgres. It is safe for concurrent use.
type Index struct {
	pool          *pgxpool.Pool
	watcher       *writeWatcher
	searches      *semaphore.Weighted // leaves connections for other calls, see search
	listenConfig  *pgx.ConnConfig
	probeInterval time.Duration
	callTimeout   time.Duration
	log           zerolog.Logger
}

// Open connects to the database and checks that it answers. It doesn't check the
// schema: see CheckSchema and Migrate. An error never contains the password. If the
// server can't be reached, the error wraps cas.ErrIndexUnavailable; if it is not Postgres 14
// or newer, ErrNotPostgres; if a URL can't be parsed, ErrURL.
func Open(ctx context.Context, o Options) (*Index, error) {
	config, err := poolConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	listenConfig := config.ConnConfig.Copy()
	if o.ListenURL != "" {
		direct, err := poolConfig(o.ListenURL)
		if err != nil {
			return nil, fmt.Errorf("%w for listening: %w", ErrURL, err)
		}
		listenConfig = direct.ConnConfig
	}
	if o.ProbeInterval <= 0 {
		o.ProbeInterval = time.Second
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = defaultCallTimeout
	}
	watcher := &writeWatcher{seldom: rate.Sometimes{Interval: resetInterval}}
	config.ConnConfig.Tracer = watcher
	if o.Traces != nil {
		config.ConnConfig.Tracer = multitracer.New(watcher, otelpgx.NewTracer(otelpgx.WithTracerProvider(o.Traces)))
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fault(ctx, "open the database", err)
	}
	x := &Index{pool: pool, watcher: watcher, searches: semaphore.NewWeighted(int64(max(1, config.MaxConns/4))), listenConfig: listenConfig, probeInterval: o.ProbeInterval, callTimeout: o.CallTimeout, log: o.Log}
	watcher.reset = func() {
		x.log.Warn().Msg("the database takes no writes; connecting anew")
		pool.Reset()
	}
	if err := x.checkServer(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	// A database that takes no writes can still be read.
	if err := x.checkWritable(ctx); err != nil && !errors.Is(err, cas.ErrIndexReadOnly) {
		pool.Close()
		return nil, err
	}
	return x, nil
}

// Close waits for running calls, and then closes all connections but those of Listen.
func (x *Index) Close() { x.pool.Close() }

// Check implements cas.Index: the database has its tables, and takes writes.
func (x *Index) Check(ctx context.Context) error {
	call, cancel := x.bounded(ctx)
	defer cancel()
	var hasBlobs bool
	if err := x.pool.QueryRow(call, `select exists(select from blobs)`).Scan(&hasBlobs); err != nil {
		return fault(ctx, "read the index", err)
	}
	return x.checkWritable(ctx)
}

// bounded returns a context with the time limit of a call. Errors are classified by
// the caller's own context, not by this one.
func (x *Index) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, x.callTimeout)
}

// fault returns the error of an operation that failed through no fault of the caller.
// If the caller's own context is done, the error wraps the context's error too, so that
// a client that left doesn't count as an outage. The driver's error is kept as text
// only: its time-outs are ours, and must not look like the caller's.
func fault(ctx context.Context, doing string, err error) error {
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%s: %w: %w", doing, cas.ErrIndexUnavailable, cause)
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == codeDiskFull {
		return fmt.Errorf("%s: %w on the database's disk: %v", doing, cas.ErrNoSpace, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, cas.ErrIndexUnavailable, &serverError{text: err.Error(), code: codeOf(err)})
}

// serverError is the text of a driver's error, and the server's code if it has one.
type serverError struct{ text, code string }

func (e *serverError) Error() string {
	if hint := hints[e.code]; hint != "" {
		return e.text + "; " + hint
	}
	return e.text
}

// hints say what the codes mean here, where the server's own words don't.
var hints = map[string]string{
	CodeNoStatement:     useExecMode,
	CodeStatementExists: useExecMode,
}

const useExecMode = "behind a pooler in transaction mode, the database URL needs default_query_exec_mode=exec"

// codeOf returns the SQLSTATE of a driver's error, or "".
func codeOf(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code
	}
	return ""
}

// CodeOf returns the SQLSTATE of the server in an error of this package; "" if the server
// gave none.
func CodeOf(err error) string {
	if e, ok := errors.AsType[*serverError](err); ok {
		return e.code
	}
	return ""
}

// blobFault is fault for an operation on one blob. It turns "no row" into
// cas.ErrBlobNotFound.
func blobFault(ctx context.Context, doing string, d cas.Digest, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("%s blob %s: %w", doing, d.Short(), cas.ErrBlobNotFound)
	}
	return fault(ctx, doing+" blob "+d.Short(), err)
}

// The SQLSTATEs of a pooler that gives each transaction another connection of the server:
// a prepared statement is missing on it, or another client has prepared one of that name.
const (
	CodeNoStatement     = "26000" // invalid_sql_statement_name
	CodeStatementExists = "42P05" // duplicate_prepared_statement
)

// The SQLSTATEs that this package handles.
const (
	codeDiskFull        = "53100"
	codeUndefinedTable  = "42P01"
	codeUniqueViolation = "23505"
	codeDeadlock        = "40P01"
)
