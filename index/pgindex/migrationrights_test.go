package pgindex_test

import (
	"crypto/rand"

	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"casgate/index/pgindex/pgtest"
)

// A gateway may serve with a role that doesn't own the tables. Its rights to the journal, and
// no other ones, outlive the migration to days, and its undoing.
func TestJournalDaysKeepTheRights(t *testing.T) {
	t.Parallel()
	db, provider := schemaOf(t, pgtest.NewEmpty(t))
	db.SetMaxOpenConns(2)
	exec := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	id := strings.ToLower(rand.Text())
	owner, server, reader, stranger := "owner_"+id, "server_"+id, "reader_"+id, "stranger_"+id
	for _, role := range []string{owner, server, reader, stranger} {
		exec(`create role ` + role)
		t.Cleanup(func() {
			if _, err := db.Exec(`drop owned by ` + role + ` cascade; drop role ` + role); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := provider.UpTo(t.Context(), 23); err != nil {
		t.Fatal(err)
	}
	exec(`alter table journal owner to `+owner,
		`grant select, insert, delete on journal to `+server, `grant select on journal to `+reader+` with grant option`,
		`alter default privileges grant all on tables to `+stranger, `alter default privileges grant all on sequences to `+stranger)
	const insert = `insert into journal (operation, kind, actor, file_id, provider, started_at, duration, bytes, outcome, error_code)
		values ('o', 'upload', 'a', '', '', now() + interval '10 days' * (random() - 0.5), 1, 1, 'ok', '')`
	check := func(when string, tables ...string) {
		t.Helper()
		as := func(role, statement string) error {
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback() }() // after a Commit it has no effect
			if _, err := tx.ExecContext(t.Context(), `set local role `+role); err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(t.Context(), statement); err != nil {
				return err
			}
			return tx.Commit()
		}
		for range 5 {
			if err := as(server, insert); err != nil {
				t.Errorf("%s: insert as the serving role: %v", when, err)
			}
		}
		for _, table := range tables {
			if err := as(server, `delete from `+table+` where false`); err != nil {
				t.Errorf("%s: delete from %s as the serving role: %v", when, table, err)
			}
			if err := as(reader, `select from `+table); err != nil {
				t.Errorf("%s: read %s: %v", when, table, err)
			}
			if err := as(reader, `grant select on `+table+` to `+reader); err != nil {
				t.Errorf("%s: grant a right to %s: %v", when, table, err)
			}
			if err := as(stranger, `select from `+table); err == nil {
				t.Errorf("%s: a stranger reads %s", when, table)
			}
			var of string
			err := db.QueryRowContext(t.Context(), `select relowner::regrole::text from pg_class where oid = $1::text::regclass`, table).Scan(&of)
			if err != nil || of != owner {
				t.Errorf("%s: %s belongs to %s, error %v", when, table, of, err)
			}
		}
		var records, cursors int
		if err := db.QueryRowContext(t.Context(), `select count(*), max(cursor) from journal`).Scan(&records, &cursors); err != nil || records != cursors {
			t.Errorf("%s: %d records, the last is number %d, error %v", when, records, cursors, err)
		}
	}
	check("before", "journal")
	if _, err := provider.UpTo(t.Context(), 24); err != nil {
		t.Fatal(err)
	}
	check("with days", "journal", "journal_rest")
	var may bool
	if err := db.QueryRowContext(t.Context(), `select has_sequence_privilege($1, 'journal_cursors', 'usage')`, stranger).Scan(&may); err != nil || may {
		t.Errorf("a stranger may use the sequence: %t, error %v", may, err)
	}
	if _, err := provider.DownTo(t.Context(), 23); err != nil {
		t.Fatal(err)
	}
	check("after the days were undone", "journal")
	if _, err := provider.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("with days again", "journal", "journal_rest")
}
