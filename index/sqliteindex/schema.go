package sqliteindex

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"

	"casgate/cas"
	"casgate/migrations"
)

// goose's own table of versions, under its default name, so that goose's command-line
// tool works on the same database.
const (
	sqlHasVersions = `select count(*) from sqlite_schema where type = 'table' and name = 'goose_db_version'`
	sqlApplied     = `select version_id, max(unixepoch(tstamp)) from goose_db_version where is_applied group by version_id`
)

// applied returns when each applied migration was applied, by version.
func (x *Index) applied(ctx context.Context) (map[int64]time.Time, error) {
	call, cancel := bounded(ctx)
	defer cancel()
	var tables int
	if err := x.reader.QueryRowContext(call, sqlHasVersions).Scan(&tables); err != nil || tables == 0 {
		return nil, err
	}
	type entry struct{ version, at int64 }
	scan := func(row scanner) (e entry, err error) {
		err = row.Scan(&e.version, &e.at)
		return e, err
	}
	entries, err := collect(ctx, x, scan, sqlApplied)
	if err != nil {
		return nil, err
	}
	applied := make(map[int64]time.Time, len(entries))
	for _, e := range entries {
		applied[e.version] = time.Unix(e.at, 0).UTC()
	}
	return applied, nil
}

// CheckSchema returns nil if the database has the schema that this program needs.
// Otherwise it returns a *migrations.SchemaError, which says what to do. It only reads.
func (x *Index) CheckSchema(ctx context.Context) error {
	applied, err := x.applied(ctx)
	if err != nil {
		return fault(ctx, "read the schema's version", err)
	}
	var version int64
	for v := range applied {
		version = max(version, v)
	}
	return migrations.SQLite.Check(version)
}

// MigrationStatus lists all migrations that this program knows or that the database
// has, by version.
func (x *Index) MigrationStatus(ctx context.Context) ([]migrations.Status, error) {
	applied, err := x.applied(ctx)
	if err != nil {
		return nil, fault(ctx, "list the migrations", err)
	}
	return migrations.SQLite.Status(applied), nil
}

// Migrate brings the schema up to date. Any number of processes may call it at the
// same time: one works, the others wait. If a newer program migrated the database, it
// returns a *migrations.SchemaError.
func (x *Index) Migrate(ctx context.Context) error {
	if err := x.CheckSchema(ctx); !behind(err) {
		return err
	}
	// goose decides which migrations to apply before it takes SQLite's lock, so that lock
	// can't exclude a second process. This lock file can. It stays, since removing a lock
	// file would let two processes in.
	guard := flock.New(x.path+"-migrate.lock", flock.SetPermissions(0o600))
	if _, err := guard.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return fmt.Errorf("wait to migrate the index: %w: %w", cas.ErrIndexUnavailable, err)
	}
	defer guard.Close()
	if err := x.CheckSchema(ctx); !behind(err) {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, x.writer, migrations.SQLite.Files(),
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("prepare the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fault(ctx, "migrate the index", err)
	}
	return x.CheckSchema(ctx)
}

// behind reports whether err is a *migrations.SchemaError that Migrate solves.
func behind(err error) bool {
	schemaErr, ok := errors.AsType[*migrations.SchemaError](err)
	return ok && schemaErr.Have < schemaErr.Want
}
