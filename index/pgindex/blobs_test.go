package pgindex_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"casgate/cas"
	"casgate/index/indextest"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
)

// some is a blob.
var some = cas.Blob{Digest: cas.DigestOf([]byte("some")), Size: 4, MediaType: "text/plain"}

// put commits some.
func put(t testing.TB, x *pgindex.Index) {
	t.Helper()
	if _, _, err := x.Commit(t.Context(), some); err != nil {
		t.Fatal(err)
	}
}

func TestTouchWritesOnceAMinute(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t, pgtest.New(t))
	put(t, x.Index)
	for _, c := range []struct {
		age    time.Duration
		writes bool
	}{{50 * time.Second, false}, {70 * time.Second, true}, {0, false}} {
		if c.age > 0 {
			x.SetTime(t, some.Digest, time.Now().Add(-c.age))
		}
		// ctid moves with every write of a row.
		version := func() (v string, touched time.Time) {
			err := x.db.QueryRow(t.Context(), "select ctid::text, touched_at from blobs").Scan(&v, &touched)
			if err != nil {
				t.Fatal(err)
			}
			return v, touched
		}
		before, touchedBefore := version()
		row, err := x.Touch(t.Context(), some.Digest)
		if err != nil || row.State != cas.StateLive {
			t.Errorf("Touch: %+v, error %v", row, err)
		}
		after, touched := version()
		if wrote := before != after; wrote != c.writes || touched.After(touchedBefore) != c.writes {
			t.Errorf("Touch of a row touched %v ago: written %v, touched at %s, before at %s", c.age, wrote, touched, touchedBefore)
		}
	}
}

// Touch waits for a transaction that changes the row. It must return the row as that
// transaction leaves it, not as it was before.
func TestTouchMeetsAChange(t *testing.T) {
	t.Parallel()
	const (
		condemned = "state = 'condemned', condemned_at = now()"
		deleting  = "state = 'deleting', condemned_at = now(), deleting_at = now()"
	)
	for _, c := range []struct {
		name, change string
		want         cas.State
	}{
		{"condemned", condemned, cas.StateCondemned},
		{"deleting", deleting, cas.StateDeleting},
		{"gone", "state = 'gone'", cas.StateGone},
		{"suspect", "state = 'suspect'", cas.StateSuspect},
		{"touched", "touched_at = now()", cas.StateLive},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newTestIndex(t, pgtest.New(t))
			put(t, x.Index)
			x.SetTime(t, some.Digest, time.Now().Add(-time.Hour)) // so that there is something to write
			tx, err := x.db.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(context.Background())
			if _, err := tx.Exec(t.Context(), "update blobs set "+c.change); err != nil {
				t.Fatal(err)
			}
			var row cas.Blob
			touched := make(chan error)
			go func() {
				var err error
				row, err = x.Touch(t.Context(), some.Digest)
				touched <- err
			}()
			for waiting := false; !waiting; {
				err := x.db.QueryRow(t.Context(), `select exists (select from pg_stat_activity
					where datname = current_database() and wait_event_type = 'Lock')`).Scan(&waiting)
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-touched; err != nil {
				t.Fatal(err)
			}
			var state cas.State
			if err := x.db.QueryRow(t.Context(), "select state from blobs").Scan(&state); err != nil {
				t.Fatal(err)
			}
			if row.State != c.want || state != c.want {
				t.Errorf("Touch returned %s, and the row is %s; want %s", row.State, state, c.want)
			}
		})
	}
}

// A collector doesn't wait for a row that an upload has in hand.
func TestStartDeletingSkipsLocked(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t, pgtest.New(t))
	put(t, x.Index)
	if err := x.Condemn(t.Context(), some.Digest, cas.CondemnOptions{}); err != nil {
		t.Fatal(err)
	}
	tx, err := x.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), "select from blobs for update"); err != nil {
		t.Fatal(err)
	}
	if refs, err := indextest.StartDeleting(t.Context(), x, 0, 10); err != nil || len(refs) != 0 {
		t.Errorf("StartDeleting took %v, error %v", refs, err)
	}
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	url, server := throughProxy(t, pgtest.New(t))
	x := open(t, pgindex.Options{URL: url})
	put(t, x)

	// A server that hangs is given up after five seconds, and that is its fault, not
	// the caller's.
	if !testing.Short() {
		server.silence()
		_, err := x.Blob(t.Context(), some.Digest)
		if !errors.Is(err, cas.ErrIndexUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("a hung server: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	server.silence()
	_, err := x.Blob(ctx, some.Digest)
	if !errors.Is(err, cas.ErrIndexUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a hung server and an impatient caller: %v", err)
	}

	server.refuse()
	_, err = x.Blob(t.Context(), some.Digest)
	if !errors.Is(err, cas.ErrIndexUnavailable) || errors.Is(err, cas.ErrBlobNotFound) {
		t.Errorf("no server: %v", err)
	}
	server.serve()
	if _, err := x.Blob(t.Context(), some.Digest); err != nil {
		t.Errorf("the server is back: %v", err)
	}
}

func TestSchemaTooNew(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t, pgtest.New(t))
	if _, err := x.db.Exec(t.Context(), "insert into goose_db_version (version_id, is_applied) values (9999, true)"); err != nil {
		t.Fatal(err)
	}
	checkTooNew(t, x.Index)
}

func BenchmarkTouchHit(b *testing.B) {
	x := open(b, pgindex.Options{URL: pgtest.New(b)})
	put(b, x)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := x.Touch(context.Background(), some.Digest); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCommitNew(b *testing.B) {
	x := open(b, pgindex.Options{URL: pgtest.New(b)})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			blob := some
			blob.Digest = randomDigest()
			if _, _, err := x.Commit(context.Background(), blob); err != nil {
				b.Fatal(err)
			}
		}
	})
}
