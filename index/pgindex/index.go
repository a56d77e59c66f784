// Package pgindex is the index of a served deployment: Postgres 14 or newer,
// shared by any number of gateways, directly or through a pooler in transaction
// mode (with default_query_exec_mode=exec in the URL).
//
// Every method is one statement and one round trip, or in rare cases several that
// don't depend on each other's locks, so that a pooler may run each on another
// connection, and none leaves a transaction open behind a client that went away. Only
// Listen needs a session of its own.
package pgindex

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/index"
	"casgate/providers"
)

var (
	_ cas.Index        = (*Index)(nil)
	_ index.Feed       = (*Index)(nil)
	_ providers.Ledger = (*Index)(nil)
	_ cas.FileIndex    = (*Index)(nil)
	_ journal.Store    = (*Index)(nil)
)

// callTimeout bounds a call whose context doesn't end sooner: a hung server must
// not hold a request for longer.
const callTimeout = 5 * time.Second

// Options says which database to use.
type Options struct {
	// URL is that of the database, postgres://…; it may name a pooler.
	URL string
	// ListenURL is that of the same database without a pooler, for Listen. Empty
	// means URL.
	ListenURL string
	// ProbeInterval is how often Listen makes sure that it still hears what is
	// announced; 0 means 15 s.
	ProbeInterval time.Duration
	// Log takes what nobody waits for: the feed going up and down. Its zero value
	// discards.
	Log zerolog.Logger
}

// Index is an index in Postgres. It is safe for concurrent use.
type Index struct {
	pool          *pgxpool.Pool
	listenConfig  *pgx.ConnConfig
	probeInterval time.Duration
	log           zerolog.Logger
}

// Open connects to the database and makes sure that it answers. It doesn't look
// at the schema: see CheckSchema and Migrate. An error never has the password
// in it; where the server can't be reached it wraps cas.ErrIndexUnavailable.
func Open(ctx context.Context, o Options) (*Index, error) {
	config, err := poolConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	listenConfig := config.ConnConfig.Copy()
	if o.ListenURL != "" {
		direct, err := poolConfig(o.ListenURL)
		if err != nil {
			return nil, fmt.Errorf("database URL for listening: %w", err)
		}
		listenConfig = direct.ConnConfig
	}
	if o.ProbeInterval <= 0 {
		o.ProbeInterval = 15 * time.Second
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fault(ctx, "open the database", err)
	}
	x := &Index{pool: pool, listenConfig: listenConfig, probeInterval: o.ProbeInterval, log: o.Log}
	if err := x.Check(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return x, nil
}

// Close ends all connections but those of Listen, after the calls under way.
func (x *Index) Close() { x.pool.Close() }

// Check implements cas.Index with a round trip that touches no table.
func (x *Index) Check(ctx context.Context) error {
	call, cancel := bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, "select 1"); err != nil {
		return fault(ctx, "reach the database", err)
	}
	return nil
}

// bounded gives a call its time limit. Errors are judged by the caller's own
// context, not by the one it returns.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTimeout)
}

// fault says that doing something failed for no fault of the caller's. Where the
// caller's own context is done the error wraps that as well, so that nobody
// counts a client that left as an outage. The driver's error is kept as text
// only: its time-outs are ours, and must not look like the caller's.
func fault(ctx context.Context, doing string, err error) error {
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%s: %w: %w", doing, cas.ErrIndexUnavailable, cause)
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == codeDiskFull {
		return fmt.Errorf("%s: %w on the database's disk: %v", doing, cas.ErrNoSpace, err)
	}
	return fmt.Errorf("%s: %w: %v", doing, cas.ErrIndexUnavailable, err)
}

// blobFault is fault for an operation on one blob, and turns "no row" into
// cas.ErrBlobNotFound.
func blobFault(ctx context.Context, doing string, d cas.Digest, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("%s blob %s: %w", doing, d.Short(), cas.ErrBlobNotFound)
	}
	return fault(ctx, doing+" blob "+d.Short(), err)
}

// The SQLSTATEs that are told apart.
const (
	codeDiskFull        = "53100"
	codeUndefinedTable  = "42P01"
	codeUniqueViolation = "23505"
	codeDeadlock        = "40P01"
)
