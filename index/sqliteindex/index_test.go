package sqliteindex_test

import (
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/index/indextest"
	"casgate/index/sqliteindex"
	"casgate/index/sqliteindex/sqlitetest"
	"casgate/providers/ledger"
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
	x := sqlitetest.Open(t, path)
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

// AgeCopy implements indextest.CopyAger.
func (x testIndex) AgeCopy(t testing.TB, k ledger.Key, by time.Duration) {
	t.Helper()
	_, err := x.db.ExecContext(t.Context(), `update copies set created_at = created_at - ?1, ready_at = ready_at - ?1,
		last_used_at = last_used_at - ?1, lost_at = lost_at - ?1, expires_at = expires_at - ?1,
		next_attempt_at = next_attempt_at - ?1, lease_until = lease_until - ?1,
		uploaded_at = uploaded_at - ?1, look_at = look_at - ?1, strays = case when strays is not null then (
			select json_group_array(json_set(value, '$.at', strftime('%Y-%m-%dT%H:%M:%fZ', json_extract(value, '$.at'), (-?1 / 1e6) || ' seconds')))
			from json_each(strays)) end
		where digest = ?2 and provider = ?3 and account = ?4 and purpose = ?5 and extension = ?6`,
		by.Microseconds(), k.Digest[:], k.Provider, k.Account, k.Purpose, k.Extension)
	if err != nil {
		t.Fatal(err)
	}
}

// AgeFile implements indextest.FileAger.
func (x testIndex) AgeFile(t testing.TB, id string, by time.Duration) {
	t.Helper()
	_, err := x.db.ExecContext(t.Context(), `update files set created_at = created_at - ?1,
		accessed_at = accessed_at - ?1, expires_at = expires_at - ?1 where id = ?2`, by.Microseconds(), id)
	if err == nil {
		_, err = x.db.ExecContext(t.Context(), `update file_terms set created_at = created_at - ?1 where file_id = ?2`, by.Microseconds(), id)
	}
	if err == nil {
		_, err = x.db.ExecContext(t.Context(), `update deleted_files set deleted_at = deleted_at - ?1 where id = ?2`, by.Microseconds(), id)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// AgeKey implements indextest.KeyAger.
func (x testIndex) AgeKey(t testing.TB, k cas.IdempotencyKey, by time.Duration) {
	t.Helper()
	_, err := x.db.ExecContext(t.Context(), `update idempotency_keys set created_at = created_at - ?1 where id = ?2`, by.Microseconds(), k.ID[:])
	if err != nil {
		t.Fatal(err)
	}
}

// HasKey implements indextest.KeyAger.
func (x testIndex) HasKey(t testing.TB, k cas.IdempotencyKey) (has bool) {
	t.Helper()
	if err := x.db.QueryRowContext(t.Context(), `select exists (select 1 from idempotency_keys where id = ?1)`, k.ID[:]).Scan(&has); err != nil {
		t.Fatal(err)
	}
	return has
}

// CheckFileCounts implements indextest.FileCounter.
func (x testIndex) CheckFileCounts(t testing.TB) {
	t.Helper()
	var wrong int
	err := x.db.QueryRowContext(t.Context(), `select count(*) from blobs b
		full join (select digest, count(*) as n from files where digest is not null group by digest) as f on f.digest = b.digest
		where coalesce(b.files, -1) <> coalesce(f.n, 0)`).Scan(&wrong)
	if err != nil || wrong != 0 {
		t.Errorf("%d blobs don't have the right number of files, error %v", wrong, err)
	}
}

func TestMain(m *testing.M) {
	castest.Histories(100, 10)
	goleak.VerifyTestMain(m)
}
