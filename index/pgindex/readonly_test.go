package pgindex_test

import (
	"errors"
	"testing"

	"casgate/cas"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
)

// A server that became read-only, and keeps its connections open, is left for one that
// takes writes: here new connections get to one.
func TestServerThatBecomesReadOnly(t *testing.T) {
	t.Parallel()
	x := open(t, pgindex.Options{URL: pgtest.New(t)})
	for name, fails := range map[string]func() error{
		"a write": func() error {
			_, _, err := x.Commit(t.Context(), some)
			return err
		},
		"a check": func() error { return x.Check(t.Context()) },
	} {
		pgindex.MakeReadOnly(t, x)
		if err := fails(); !errors.Is(err, cas.ErrIndexUnavailable) {
			t.Fatalf("%s on a read-only connection: %v", name, err)
		}
		put(t, x)
		if err := x.Check(t.Context()); err != nil {
			t.Errorf("%s: after new connections: %v", name, err)
		}
		pgindex.AllowReset(x)
	}
}

// A database whose tables are gone answers, and can't be used.
func TestDatabaseWithoutItsTables(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t, pgtest.New(t))
	if err := x.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := x.db.Exec(t.Context(), "drop schema public cascade; create schema public"); err != nil {
		t.Fatal(err)
	}
	if err := x.Check(t.Context()); !errors.Is(err, cas.ErrIndexUnavailable) {
		t.Errorf("error %v", err)
	}
}
