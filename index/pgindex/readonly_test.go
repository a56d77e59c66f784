package pgindex_test

import (
	"errors"
	"slices"
	"testing"
	"time"

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
		"a write in a batch": func() error {
			_, err := x.CommitFile(t.Context(), some, cas.NewFile{File: newFile()})
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

// Each query is observed, also of statements that are sent together.
func TestQueriesAreObserved(t *testing.T) {
	t.Parallel()
	x := open(t, pgindex.Options{URL: pgtest.New(t)})
	var outcomes []pgindex.QueryOutcome
	x.ObserveQueries(func(_ time.Duration, outcome pgindex.QueryOutcome) { outcomes = append(outcomes, outcome) })
	if _, err := x.CommitFile(t.Context(), some, cas.NewFile{File: newFile()}); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Blob(t.Context(), cas.DigestOf([]byte("of no blob"))); !errors.Is(err, cas.ErrBlobNotFound) {
		t.Fatal(err)
	}
	if want := []pgindex.QueryOutcome{pgindex.QueryOK, pgindex.QueryOK}; !slices.Equal(outcomes, want) {
		t.Errorf("observed %v; want %v", outcomes, want)
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

// newFile returns a new file of some.
func newFile() cas.File {
	return cas.File{ID: cas.NewFileID(), Digest: some.Digest, Size: some.Size, Name: "a.txt", MediaType: "text/plain", Purpose: "assistants"}
}
