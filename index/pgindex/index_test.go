package pgindex_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/index/indextest"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
	"casgate/providers/ledger"
)

func TestMain(m *testing.M) {
	castest.Overlap()
	castest.Histories(100, 10)
	goleak.VerifyTestMain(m)
}

func TestIndex(t *testing.T) {
	urls := map[string]func(t testing.TB) string{"direct": pgtest.New}
	if castest.Thorough(1, 0) == 1 {
		urls["pooled"] = pgtest.NewPooled // and so without prepared statements
	}
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The first one is made here, since it is this test that is skipped without a
			// server.
			make := func() testIndex { return newTestIndex(t, url(t)) }
			lent := &indexes{make: make, idle: []testIndex{make()}}
			indextest.Run(t, func(t *testing.T) indextest.Index { return lent.borrow(t) })
		})
	}
}

// indexes lends indexes to the many tests of the kit, one after the other: to empty
// one is much faster than to make a database, and to connect to it.
type indexes struct {
	make func() testIndex
	mu   sync.Mutex
	idle []testIndex
}

// borrow returns an empty index, for the time of a test.
func (l *indexes) borrow(t *testing.T) testIndex {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.idle) == 0 {
		l.idle = append(l.idle, l.make())
	}
	x := l.idle[len(l.idle)-1]
	l.idle = l.idle[:len(l.idle)-1]
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), castest.WaitLimit)
		defer cancel()
		for _, table := range []string{"blobs", "tokens", "signing_keys", "copies", "extracted_texts", "files", "journal", "collection", "retention", "installation"} {
			if _, err := x.db.Exec(ctx, "delete from "+table); err != nil {
				t.Error(err)
				return
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.idle = append(l.idle, x)
	})
	return x
}

func TestMigrations(t *testing.T) {
	for name, url := range map[string]func(t *testing.T) string{
		"direct": func(t *testing.T) string { return pgtest.NewEmpty(t) },
		"pooled": func(t *testing.T) string {
			return pgtest.Pooled(t, castest.Service(t, pgtest.PoolerVariable), pgtest.NewEmpty(t))
		},
		"one connection": func(t *testing.T) string { return pgtest.NewEmpty(t) + "&pool_max_conns=1" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			indextest.RunMigrations(t, func(t *testing.T, n int) []indextest.Migrator {
				database := url(t)
				var handles []indextest.Migrator
				for range n {
					handles = append(handles, open(t, pgindex.Options{URL: database}))
				}
				return handles
			})
		})
	}
}

// open opens a database for the time of a test.
func open(t testing.TB, o pgindex.Options) *pgindex.Index {
	t.Helper()
	x, err := pgindex.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

// testIndex is an index whose tables the test can reach.
type testIndex struct {
	*pgindex.Index
	db *pgxpool.Pool
}

// newTestIndex opens one.
func newTestIndex(t testing.TB, url string) testIndex {
	t.Helper()
	x := open(t, pgindex.Options{URL: url, CallTimeout: castest.WaitLimit})
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 2
	db, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return testIndex{x, db}
}

// SetTime implements indextest.TimeSetter.
func (x testIndex) SetTime(t testing.TB, d cas.Digest, at time.Time) {
	t.Helper()
	_, err := x.db.Exec(t.Context(), `update blobs set created_at = $1::timestamptz, touched_at = $1,
		condemned_at = case when condemned_at is not null then $1 end,
		deleting_at = case when deleting_at is not null then $1 end
		where digest = $2`, at, d[:])
	if err != nil {
		t.Fatal(err)
	}
}

// AgeCopy implements indextest.CopyAger.
func (x testIndex) AgeCopy(t testing.TB, k ledger.Key, by time.Duration) {
	t.Helper()
	_, err := x.db.Exec(t.Context(), `update copies set created_at = created_at - $1::interval, ready_at = ready_at - $1,
		last_used_at = last_used_at - $1, lost_at = lost_at - $1, expires_at = expires_at - $1,
		next_attempt_at = next_attempt_at - $1, lease_until = lease_until - $1,
		uploaded_at = uploaded_at - $1, look_at = look_at - $1, strays = (
			select jsonb_agg(jsonb_set(s, '{at}', to_jsonb((s->>'at')::timestamptz - $1))) from jsonb_array_elements(strays) as s)
		where digest = $2 and provider = $3 and account = $4 and purpose = $5 and extension = $6`,
		by, k.Digest[:], k.Provider, k.Account, k.Purpose, k.Extension)
	if err != nil {
		t.Fatal(err)
	}
}

// AgeFile implements indextest.FileAger.
func (x testIndex) AgeFile(t testing.TB, id string, by time.Duration) {
	t.Helper()
	_, err := x.db.Exec(t.Context(), `update files set created_at = created_at - $1::interval,
		accessed_at = accessed_at - $1, expires_at = expires_at - $1 where id = $2`, by, id)
	if err == nil {
		_, err = x.db.Exec(t.Context(), `update deleted_files set deleted_at = deleted_at - $1::interval where id = $2`, by, id)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// AgeKey implements indextest.KeyAger.
func (x testIndex) AgeKey(t testing.TB, k cas.IdempotencyKey, by time.Duration) {
	t.Helper()
	_, err := x.db.Exec(t.Context(), `update idempotency_keys set created_at = created_at - $1::interval where id = $2`, by, k.ID[:])
	if err != nil {
		t.Fatal(err)
	}
}

// HasKey implements indextest.KeyAger.
func (x testIndex) HasKey(t testing.TB, k cas.IdempotencyKey) (has bool) {
	t.Helper()
	if err := x.db.QueryRow(t.Context(), `select exists (select from idempotency_keys where id = $1)`, k.ID[:]).Scan(&has); err != nil {
		t.Fatal(err)
	}
	return has
}

// CheckFileCounts implements indextest.FileCounter.
func (x testIndex) CheckFileCounts(t testing.TB) {
	t.Helper()
	var wrong int
	err := x.db.QueryRow(t.Context(), `select count(*) from blobs b
		full join (select digest, count(*) as n from files where digest is not null group by digest) as f on f.digest = b.digest
		where coalesce(b.files, -1) <> coalesce(f.n, 0)`).Scan(&wrong)
	if err != nil || wrong != 0 {
		t.Errorf("%d blobs don't have the right number of files, error %v", wrong, err)
	}
}
