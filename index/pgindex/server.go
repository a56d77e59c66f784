package pgindex

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// minServerVersion is that of Postgres 14.
const minServerVersion = 140000

// ErrNotPostgres: the server is no Postgres, or too old.
var ErrNotPostgres = errors.New("not a Postgres that the index can use")

const sqlServer = `select version(), current_setting('server_version_num')::integer`

// checkServer returns an error if the server is not Postgres 14 or newer. Servers that speak
// its protocol lack parts that the index depends on: CockroachDB and YugabyteDB have neither
// LISTEN nor advisory locks as Postgres does, and fail in the middle of the work.
func (x *Index) checkServer(ctx context.Context) error {
	call, cancel := x.bounded(ctx)
	defer cancel()
	var name string
	var version int
	if err := x.pool.QueryRow(call, sqlServer).Scan(&name, &version); err != nil {
		return fault(ctx, "reach the database", err)
	}
	// YugabyteDB calls itself "PostgreSQL 11.2-YB-2.25.1.0-b0 on …", and the others by their
	// own names.
	isPostgres := strings.HasPrefix(name, "PostgreSQL ") && !strings.Contains(name, "-YB-")
	if !isPostgres || version < minServerVersion {
		return fmt.Errorf("%w: the server is %.80q; the index needs PostgreSQL 14 or newer", ErrNotPostgres, name)
	}
	return nil
}

// sessionTimeout bounds CheckSession. A pooler with a single connection to the server lets
// it wait.
const sessionTimeout = 2 * time.Second

// CheckSession returns an error if statements are prepared on connections that don't keep
// them, such as those of a pooler in transaction mode. CodeOf then is CodeNoStatement or
// CodeStatementExists. It returns nil if that can't be found out.
func (x *Index) CheckSession(ctx context.Context) error {
	config := x.pool.Config()
	if config.ConnConfig.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement || config.MaxConns < 2 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	err := x.useTwoSessions(ctx)
	if code := codeOf(err); code == CodeNoStatement || code == CodeStatementExists {
		return fault(ctx, "use a prepared statement a second time", err)
	}
	return nil
}

// useTwoSessions prepares a statement on one connection, and runs it while a transaction of
// another connection is open. A pooler gave that transaction the server's connection on
// which the statement was prepared.
func (x *Index) useTwoSessions(ctx context.Context) error {
	first, err := x.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer discard(first)
	second, err := x.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer discard(second)
	statement := "casgate_" + rand.Text()
	if _, err := first.Conn().Prepare(ctx, statement, "select 1"); err != nil {
		return err
	}
	other, err := second.Begin(ctx)
	if err != nil {
		return err
	}
	defer other.Rollback(ctx) // the connection is closed anyway
	_, err = first.Exec(ctx, statement)
	return err
}

// discard closes a connection of the pool: it may have statements that others don't expect.
func discard(c *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Hijack().Close(ctx) // it is not used any more
}
