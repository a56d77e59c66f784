package sqliteindex_test

import (
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"casgate/cas"
	"casgate/index/indextest"
	"casgate/index/sqliteindex"
)

func TestIndex(t *testing.T) {
	t.Parallel()
	indextest.Run(t, func(t *testing.T) indextest.Index { return newTestIndex(t) })
}

func TestMigrations(t *testing.T) {
	t.Parallel()
	indextest.RunMigrations(t, func(t *testing.T, n int) []indextest.Migrator {
		path := filepath.Join(t.TempDir(), "index.db")
		var handles []indextest.Migrator
		for range n {
			handles = append(handles, open(t, path))
		}
		return handles
	})
}

// open opens a database for the time of a test.
func open(t testing.TB, path string) *sqliteindex.Index {
	t.Helper()
	x, err := sqliteindex.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

// testIndex is a migrated index whose tables the test can reach.
type testIndex struct {
	*sqliteindex.Index
	path string
	db   *sql.DB
}

// newTestIndex makes one in a folder of its own.
func newTestIndex(t testing.TB) testIndex {
	t.Helper()
	path := filepath.Join(t.TempDir(), "index.db")
	x := open(t, path)
	if err := x.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(5000)&_txlock=immediate"}).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return testIndex{x, path, db}
}

// SetTime implements indextest.TimeSetter.
func (x testIndex) SetTime(t testing.TB, d cas.Digest, at time.Time) {
	t.Helper()
	_, err := x.db.ExecContext(t.Context(), `update blobs set created_at = ?1, touched_at = ?1,
		condemned_at = case when condemned_at is not null then ?1 end,
		deleting_at = case when deleting_at is not null then ?1 end
		where digest = ?2`, at.UnixMicro(), d[:])
	if err != nil {
		t.Fatal(err)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
