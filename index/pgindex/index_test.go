package pgindex_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/index/indextest"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestIndex(t *testing.T) {
	for name, url := range map[string]func(t testing.TB) string{
		"direct": pgtest.New,
		"exec":   func(t testing.TB) string { return pgtest.New(t) + "&default_query_exec_mode=exec" },
		"pooled": pgtest.NewPooled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The first one is made here, since it is this test that is skipped without a
			// server.
			lent := &databases{owner: t, create: url, idle: []string{url(t)}}
			indextest.Run(t, func(t *testing.T) indextest.Index { return newTestIndex(t, lent.borrow(t)) })
		})
	}
}

// databases lends databases to the many tests of the kit, one after the other:
// to empty one is much faster than to make one.
type databases struct {
	owner  *testing.T
	create func(t testing.TB) string
	mu     sync.Mutex
	idle   []string
}

// borrow returns the URL of an empty database, for the time of a test.
func (l *databases) borrow(t *testing.T) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.idle) == 0 {
		l.idle = append(l.idle, l.create(l.owner))
	}
	url := l.idle[len(l.idle)-1]
	l.idle = l.idle[:len(l.idle)-1]
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, "delete from blobs; delete from tokens; delete from signing_keys"); err != nil {
			t.Error(err)
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.idle = append(l.idle, url)
	})
	return url
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
	x := open(t, pgindex.Options{URL: url})
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
