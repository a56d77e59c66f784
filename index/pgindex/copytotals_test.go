package pgindex_test

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"

	"casgate/index/indextest"
	"casgate/index/pgindex/pgtest"
	"casgate/migrations"
)

// schemaOf returns the migrations of a database, to undo and repeat them.
func schemaOf(t *testing.T, url string) (*sql.DB, *goose.Provider) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	schema, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Postgres.Files(), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	return db, schema
}

func TestCopyTotals(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	db, schema := schemaOf(t, url)
	indextest.RunCopyTotals(t, newTestIndex(t, url), db, schema)
}

// A role that may change copies, and doesn't own them, needs no rights of its own for the
// totals.
func TestCopyTotalsOfAnotherRole(t *testing.T) {
	t.Parallel()
	db, schema := schemaOf(t, pgtest.New(t))
	exec := func(statements ...string) {
		t.Helper()
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }() // after a Commit it has no effect
		for _, s := range statements {
			if _, err := tx.ExecContext(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	role := "server_" + strings.ToLower(rand.Text())
	exec(`create role ` + role)
	t.Cleanup(func() {
		if _, err := db.Exec(`drop owned by ` + role + ` cascade; drop role ` + role); err != nil {
			t.Error(err)
		}
	})
	if _, err := schema.DownTo(t.Context(), 26); err != nil {
		t.Fatal(err)
	}
	exec(`grant select, insert, update, delete on copies to ` + role)
	if _, err := schema.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(`set local role `+role,
		`insert into copies (digest, provider, account, purpose, extension, state, fence, file_id, name, media_type, size, operation_id)
			select sha256(i::text::bytea), 'kimi', 'a', 'batch', '', 'ready', 1, 'f', 'n', 'text/plain', 10, '' from generate_series(1, 5) i`,
		`update copies set state = 'evicted', file_id = '' where digest = sha256('1')`,
		`delete from copies where digest = sha256('2')`,
		`do $$ begin assert (select sum(files) = 3 and sum(bytes) = 30 from copy_totals where account = 'a'); end $$`)

	// It can't falsify them by a table of its own.
	_, err := db.ExecContext(t.Context(), `begin; set local role `+role+`; create temporary table own (like copies);
		create trigger counted after insert on own referencing new table as changed for each statement execute function count_copies(); rollback`)
	if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "42501" {
		t.Errorf("a trigger of its own: %v", err)
	}
}
