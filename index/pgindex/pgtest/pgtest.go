// Package pgtest gives tests a Postgres database of their own, directly or
// through PgBouncer. The servers are those of the environment; without them the
// test is skipped, see castest.Service.
package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"casgate/cas/castest"
	"casgate/index/pgindex"
	"casgate/migrations"
)

// The environment variables that name the servers: Postgres itself, with a user
// that may create databases, and a PgBouncer in front of it in transaction mode,
// which takes any database's name.
const (
	DatabaseVariable = "CAS_TEST_DATABASE_URL"
	PoolerVariable   = "CAS_TEST_POOLER_URL"
)

// New returns the URL of a database that is migrated and empty. It is dropped when
// the test ends, even with open connections.
func New(t testing.TB) string {
	t.Helper()
	server := castest.Service(t, DatabaseVariable)
	return withDatabase(t, server, create(t, server, template(t, server)), nil)
}

// NewEmpty is New without the migrations: the database is as a server makes it.
func NewEmpty(t testing.TB) string {
	t.Helper()
	server := castest.Service(t, DatabaseVariable)
	return withDatabase(t, server, create(t, server, "template0"), nil)
}

// NewPooled is New by way of PgBouncer. The URL has the setting that the index
// needs there, default_query_exec_mode=exec.
func NewPooled(t testing.TB) string {
	t.Helper()
	pooler := castest.Service(t, PoolerVariable)
	return Pooled(t, pooler, New(t))
}

// Pooled returns the URL of the same database by way of the pooler, as the index
// needs it there.
func Pooled(t testing.TB, pooler, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatalf("%s: not a URL", DatabaseVariable)
	}
	return withDatabase(t, pooler, strings.TrimPrefix(u.Path, "/"), url.Values{"default_query_exec_mode": {"exec"}})
}

// connectTimeout is in seconds. The index's own default, 3 s, is too short for tests on
// a busy machine.
const connectTimeout = "60"

// withDatabase returns the server's URL with another database and more settings.
func withDatabase(t testing.TB, server, name string, settings url.Values) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%s and %s must be URLs", DatabaseVariable, PoolerVariable)
	}
	u.Path = "/" + name
	query := u.Query()
	query.Set("connect_timeout", connectTimeout)
	for key, values := range settings {
		query[key] = values
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// create makes a database from a template and drops it when the test ends.
func create(t testing.TB, server, from string) (name string) {
	t.Helper()
	name = "casgate_test_" + strings.ToLower(rand.Text())
	if err := copyDatabase(t.Context(), server, from, name); err != nil {
		t.Fatalf("create a test database: %v", err)
	}
	t.Cleanup(func() {
		// The test's own context is done by now.
		ctx, cancel := context.WithTimeout(context.Background(), castest.WaitLimit)
		defer cancel()
		if err := admin(ctx, server, "drop database "+name+" with (force)"); err != nil {
			t.Errorf("drop the test database: %v", err)
		}
	})
	return name
}

// copyDatabase makes a database like another.
func copyDatabase(ctx context.Context, server, from, name string) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	statement := "create database " + name + " template " + from
	// To copy its files takes half the time of writing it to the log, at least where the
	// server doesn't sync. Versions before 15 can do nothing else.
	if major, _, _ := strings.Cut(conn.PgConn().ParameterStatus("server_version"), "."); major >= "15" {
		statement += " strategy file_copy"
	}
	_, err = conn.Exec(ctx, statement)
	return err
}

// admin runs statements on the server's own database, over one connection.
func admin(ctx context.Context, server string, statements ...string) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// templates remembers the outcome of makeTemplate in this process, by server.
var templates sync.Map // server URL → func() (string, error)

// template returns a migrated database to copy: that takes a tenth of the time
// that the migrations take.
func template(t testing.TB, server string) string {
	t.Helper()
	once, _ := templates.LoadOrStore(server, sync.OnceValues(func() (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), castest.WaitLimit)
		defer cancel()
		return makeTemplate(ctx, t, server)
	}))
	name, err := once.(func() (string, error))()
	if err != nil {
		t.Fatalf("make a template of a migrated database: %v", err)
	}
	return name
}

// templateLock is the advisory lock under which one test process makes the
// template, and the others wait for it.
const templateLock = 0x636173746d706c

// makeTemplate makes the template, unless this or another test process has done
// so before. Its name depends on the migrations. It stays on the server.
func makeTemplate(ctx context.Context, t testing.TB, server string) (name string, err error) {
	sum := sha256.New()
	err = fs.WalkDir(migrations.Postgres.Files(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(migrations.Postgres.Files(), path)
		fmt.Fprintf(sum, "%s %d\n%s", path, len(content), content)
		return err
	})
	if err != nil {
		return "", err
	}
	name = fmt.Sprintf("casgate_template_%x", sum.Sum(nil)[:8])

	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx) // and with it the lock
	if _, err := conn.Exec(ctx, fmt.Sprintf("select pg_advisory_lock(%d)", templateLock)); err != nil {
		return "", err
	}
	var exists bool
	err = conn.QueryRow(ctx, "select exists (select from pg_database where datname = $1)", name).Scan(&exists)
	if err != nil || exists {
		return name, err
	}
	// Under another name until it is whole.
	draft := name + "_draft"
	if err := admin(ctx, server, "drop database if exists "+draft+" with (force)", "create database "+draft+" template template0"); err != nil {
		return "", err
	}
	x, err := pgindex.Open(ctx, pgindex.Options{URL: withDatabase(t, server, draft, nil)})
	if err != nil {
		return "", err
	}
	err = x.Migrate(ctx)
	x.Close()
	if err != nil {
		return "", err
	}
	return name, admin(ctx, server, "alter database "+draft+" rename to "+name)
}

// DropSchema removes all that is in the database of a URL, as an operator's mistake would.
func DropSchema(t testing.TB, database string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "drop schema public cascade; create schema public"); err != nil {
		t.Fatal(err)
	}
}
