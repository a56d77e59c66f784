package pgindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/rs/zerolog"

	"casgate/migrations"
)

// goose's own table of versions, under its default name, so that goose's command-line
// tool works on the same database. A version that was rolled back has no row.
const (
	sqlVersion = `select coalesce(max(version_id), 0) from goose_db_version where is_applied`
	sqlApplied = `select version_id, max(tstamp::timestamptz) from goose_db_version where is_applied group by version_id`
)

// CheckSchema returns nil if the database has the schema that this program needs.
// Otherwise it returns a *migrations.SchemaError, which says what to do. It only reads,
// so it needs no other rights.
func (x *Index) CheckSchema(ctx context.Context) error {
	call, cancel := x.bounded(ctx)
	defer cancel()
	var version int64
	err := x.pool.QueryRow(call, sqlVersion).Scan(&version)
	if err != nil && !isUndefinedTable(err) {
		return fault(ctx, "read the schema's version", err)
	}
	return migrations.Postgres.Check(version)
}

// MigrationStatus lists all migrations that this program knows or that the database
// has, by version.
func (x *Index) MigrationStatus(ctx context.Context) ([]migrations.Status, error) {
	call, cancel := x.bounded(ctx)
	defer cancel()
	applied := make(map[int64]time.Time)
	// An error of Query comes out of ForEachRow.
	rows, _ := x.pool.Query(call, sqlApplied)
	var version int64
	var at time.Time
	_, err := pgx.ForEachRow(rows, []any{&version, &at}, func() error {
		applied[version] = at.UTC()
		return nil
	})
	if err != nil && !isUndefinedTable(err) {
		return nil, fault(ctx, "list the migrations", err)
	}
	return migrations.Postgres.Status(applied), nil
}

// isUndefinedTable reports whether the error is that of a database that was never
// migrated.
func isUndefinedTable(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == codeUndefinedTable
}

// Migrate brings the schema up to date. Any number of processes may call it at the
// same time: one works, the others wait. If a newer program migrated the database, it
// returns a *migrations.SchemaError.
func (x *Index) Migrate(ctx context.Context) error {
	err := x.CheckSchema(ctx)
	if err == nil {
		return nil
	}
	if schemaErr, ok := errors.AsType[*migrations.SchemaError](err); !ok || schemaErr.Have > schemaErr.Want {
		return err
	}
	// Not through the pool: goose needs several connections at once, and the pool may
	// have fewer.
	db := stdlib.OpenDB(*x.pool.Config().ConnConfig)
	defer db.Close()
	provider, err := x.provider(db)
	if err != nil {
		return fmt.Errorf("prepare the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fault(ctx, "migrate the database", err)
	}
	return x.CheckSchema(ctx)
}

// provider locks with a row in a table. An advisory lock would belong to a session,
// which doesn't exist behind a pooler. If a process dies while it migrates, the others
// wait until its lease ends after half a minute.
func (x *Index) provider(db *sql.DB) (*goose.Provider, error) {
	logger := slog.New(zerolog.NewSlogHandler(x.log))
	locker, err := lock.NewPostgresTableLocker(
		lock.WithTableLockTimeout(100*time.Millisecond, 3000), // five minutes
		lock.WithTableUnlockTimeout(100*time.Millisecond, 100),
		lock.WithTableLogger(logger),
	)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, migrations.Postgres.Files(),
		goose.WithLocker(locker), goose.WithSlog(logger), goose.WithDisableGlobalRegistry(true))
}
