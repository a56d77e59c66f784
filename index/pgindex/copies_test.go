package pgindex_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/index/indextest"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
	"casgate/providers"
	"casgate/providers/ledger"
)

// wanted is a copy of some.
var wanted = ledger.Wanted{
	Key:         ledger.Key{Digest: some.Digest, Provider: "kimi", Account: "a@api.example", Purpose: "file-extract", Extension: ".txt"},
	Name:        "some.txt",
	MediaType:   "text/plain",
	Size:        4,
	OperationID: "operation",
}

// remote is a remote file of it.
var remote = providers.RemoteFile{ID: "file-1", Name: "some-1.txt", Size: 4, Status: providers.StatusReady}

// claimed claims the copy and fails the test unless that is won.
func claimed(t testing.TB, x *pgindex.Index, lease time.Duration) ledger.Copy {
	t.Helper()
	c, won, err := x.Change(t.Context(), ledger.Claim(wanted, lease))
	if err != nil || !won {
		t.Fatalf("Claim: won %v, error %v", won, err)
	}
	return c
}

// ready makes the copy.
func ready(t testing.TB, x *pgindex.Index) ledger.Copy {
	t.Helper()
	c, held, err := x.Change(t.Context(), ledger.Complete(wanted.Key, claimed(t, x, time.Hour).Fence, remote))
	if err != nil || !held {
		t.Fatalf("Complete: held %v, error %v", held, err)
	}
	return c
}

// Each change of a row is announced once. A call that changes nothing announces
// nothing.
func TestCopiesAreAnnounced(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(t *testing.T) (writer, listener string){
		"direct": func(t *testing.T) (string, string) { u := pgtest.New(t); return u, u },
		"pooled": func(t *testing.T) (string, string) {
			u := pgtest.New(t)
			return pgtest.Pooled(t, castest.Service(t, pgtest.PoolerVariable), u), u
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			writer, direct := url(t)
			e := listen(t, pgindex.Options{URL: writer, ListenURL: direct})
			e.expect("gap", "listening true")
			x := open(t, pgindex.Options{URL: writer})
			ctx, k := t.Context(), wanted.Key
			failure := ledger.Failure{State: ledger.StatePending, Again: true}
			another := remote
			another.ID = "file-2"
			var fence int64
			for _, step := range []struct {
				name      string
				call      func() error
				announced bool
			}{
				{"request", func() error { _, _, err := x.Change(ctx, ledger.Request(wanted)); return err }, true},
				{"claim", func() error { c, _, err := x.Change(ctx, ledger.Claim(wanted, time.Hour)); fence = c.Fence; return err }, true},
				{"request of a claimed copy", func() error { _, _, err := x.Change(ctx, ledger.Request(wanted)); return err }, false},
				{"claim of a claimed copy", func() error { _, _, err := x.Change(ctx, ledger.Claim(wanted, time.Hour)); return err }, false},
				{"extension", func() error { _, _, err := x.Change(ctx, ledger.ExtendLease(k, fence, time.Hour)); return err }, true},
				{"extension by another", func() error { _, _, err := x.Change(ctx, ledger.ExtendLease(k, fence-1, time.Hour)); return err }, false},
				{"failure by another", func() error { _, _, err := x.Change(ctx, ledger.Fail(k, fence-1, failure)); return err }, false},
				{"failure", func() error { _, _, err := x.Change(ctx, ledger.Fail(k, fence, failure)); return err }, true},
				{"claim again", func() error { c, _, err := x.Change(ctx, ledger.Claim(wanted, time.Hour)); fence = c.Fence; return err }, true},
				{"completion by another", func() error { _, _, err := x.Change(ctx, ledger.Complete(k, fence-1, remote)); return err }, false},
				{"completion", func() error { _, _, err := x.Change(ctx, ledger.Complete(k, fence, remote)); return err }, true},
				{"completion again", func() error { _, _, err := x.Change(ctx, ledger.Complete(k, fence, remote)); return err }, false},
				{"use", func() error { return x.UseCopies(ctx, map[ledger.Key]time.Time{k: time.Now()}) }, false},
				{"loss of another file", func() error { _, _, err := x.Change(ctx, ledger.Lose(k, "another", 3, time.Hour)); return err }, false},
				{"loss", func() error { _, _, err := x.Change(ctx, ledger.Lose(k, remote.ID, 3, time.Hour)); return err }, true},
				{"claim after the loss", func() error { c, _, err := x.Change(ctx, ledger.Claim(wanted, time.Hour)); fence = c.Fence; return err }, true},
				{"completion after the loss", func() error { _, _, err := x.Change(ctx, ledger.Complete(k, fence, another)); return err }, true},
				{"look", func() error {
					_, _, err := x.Change(ctx, ledger.NoteLook(k, 0, ledger.Look{Gone: []string{remote.ID}}))
					return err
				}, true},
				{"eviction for itself", func() error {
					_, _, err := indextest.EvictLeastUsed(ctx, x, ledger.Eviction{Room: k}, time.Hour)
					return err
				}, false},
				{"eviction", func() error {
					c, _, err := indextest.EvictLeastUsed(ctx, x, ledger.Eviction{Room: ledger.Key{Account: k.Account}}, time.Hour)
					fence = c.Fence
					return err
				}, true},
				{"delete of a copy being deleted", func() error { _, _, err := x.Change(ctx, ledger.Delete(k, "", time.Hour)); return err }, false},
				{"failure of the delete", func() error { _, _, err := x.Change(ctx, ledger.FailDelete(k, fence, ledger.Failure{})); return err }, true},
				{"delete", func() error { c, _, err := x.Change(ctx, ledger.Delete(k, "", time.Hour)); fence = c.Fence; return err }, true},
				{"end of another's delete", func() error {
					_, _, err := x.Change(ctx, ledger.FinishDelete(k, fence-1, ledger.StateDeleted, 0))
					return err
				}, false},
				{"end of the delete", func() error {
					_, _, err := x.Change(ctx, ledger.FinishDelete(k, fence, ledger.StateDeleted, 0))
					return err
				}, true},
				{"text", func() error {
					return x.SetExtractedText(ctx, ledger.TextKey{Digest: k.Digest, Provider: k.Provider}, cas.Digest{})
				}, true},
			} {
				if err := step.call(); err != nil {
					t.Fatalf("%s: %v", step.name, err)
				}
				// The test's own notification comes after all earlier ones.
				if _, err := openConn(t, direct).Exec(ctx, "select pg_notify('casgate_copies', 'done')"); err != nil {
					t.Fatal(err)
				}
				t.Log(step.name)
				if step.announced {
					e.expect("copies " + some.Digest.Short())
				}
				e.expect("gap")
			}
		})
	}
}

// openConn connects to a database for the time of a test.
func openConn(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// Calls wait for a transaction that changes the row. They must use and return the
// row after that change, not the row that they saw before.
func TestLedgerMeetsAChange(t *testing.T) {
	t.Parallel()
	const (
		taken = "state = 'uploading', fence = fence + 1, lease_until = now() + interval '1 hour', next_attempt_at = null"
		gone  = "state = 'deleted', fence = fence + 1, lease_until = null, next_attempt_at = null, file_id = ''"
	)
	inserted := `insert into copies (digest, provider, account, purpose, extension, state, fence, name, media_type, size, operation_id, lease_until)
		values ($1, $2, $3, $4, $5, 'uploading', 7, '', '', 0, '', now() + interval '1 hour')`
	type call func(x *pgindex.Index, fence int64) (ledger.Copy, bool, error)
	ctx, k := t.Context(), wanted.Key
	uploading := func(t testing.TB, x *pgindex.Index) ledger.Copy { return claimed(t, x, time.Hour) }
	for _, c := range []struct {
		name    string
		arrange func(t testing.TB, x *pgindex.Index) ledger.Copy
		change  string
		call    call
		state   ledger.State
		fence   int64
		done    bool
	}{
		{"a claim and a first claim", nil, inserted,
			func(x *pgindex.Index, _ int64) (ledger.Copy, bool, error) {
				return x.Change(ctx, ledger.Claim(wanted, time.Hour))
			},
			ledger.StateUploading, 7, false},
		{"a request and a first claim", nil, inserted,
			func(x *pgindex.Index, _ int64) (c ledger.Copy, ok bool, err error) {
				c, _, err = x.Change(ctx, ledger.Request(wanted))
				return c, false, err
			}, ledger.StateUploading, 7, false},
		{"a claim and another",
			func(t testing.TB, x *pgindex.Index) ledger.Copy { return claimed(t, x, 0) }, "update copies set " + taken,
			func(x *pgindex.Index, _ int64) (ledger.Copy, bool, error) {
				return x.Change(ctx, ledger.Claim(wanted, time.Hour))
			},
			ledger.StateUploading, 2, false},
		{"a claim and a failed attempt that may be claimed",
			func(t testing.TB, x *pgindex.Index) ledger.Copy { return claimed(t, x, 0) },
			"update copies set state = 'pending', fence = 5, lease_until = null, next_attempt_at = now()",
			func(x *pgindex.Index, _ int64) (ledger.Copy, bool, error) {
				return x.Change(ctx, ledger.Claim(wanted, time.Hour))
			},
			ledger.StateUploading, 6, true},
		{"a completion and a claim", uploading, "update copies set " + taken,
			func(x *pgindex.Index, fence int64) (ledger.Copy, bool, error) {
				return x.Change(ctx, ledger.Complete(k, fence, remote))
			},
			ledger.StateUploading, 2, false},
		{"a completion and an extension", uploading, "update copies set lease_until = lease_until + interval '1 hour'",
			func(x *pgindex.Index, fence int64) (ledger.Copy, bool, error) {
				return x.Change(ctx, ledger.Complete(k, fence, remote))
			},
			ledger.StateReady, 1, true},
		{"a failure and a delete", uploading, "update copies set " + gone,
			func(x *pgindex.Index, fence int64) (ledger.Copy, bool, error) {
				return x.Change(ctx, ledger.Fail(k, fence, ledger.Failure{State: ledger.StateFailed}))
			}, ledger.StateDeleted, 2, false},
		{"a loss and a renewal", func(t testing.TB, x *pgindex.Index) ledger.Copy { return ready(t, x) }, "update copies set file_id = 'file-2'",
			func(x *pgindex.Index, _ int64) (c ledger.Copy, ok bool, err error) {
				c, _, err = x.Change(ctx, ledger.Lose(k, remote.ID, 3, time.Hour))
				return c, false, err
			}, ledger.StateReady, 1, false},
		{"a delete and a claim", uploading, "update copies set " + taken,
			func(x *pgindex.Index, _ int64) (ledger.Copy, bool, error) {
				return x.Change(ctx, ledger.Delete(k, "", time.Hour))
			},
			ledger.StateDeleting, 3, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newTestIndex(t, pgtest.New(t))
			var fence int64
			args := []any{k.Digest[:], k.Provider, k.Account, k.Purpose, k.Extension}
			if c.arrange != nil {
				fence, args = c.arrange(t, x.Index).Fence, nil
			}
			tx, err := x.db.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(context.Background())
			if _, err := tx.Exec(t.Context(), c.change, args...); err != nil {
				t.Fatal(err)
			}
			var row ledger.Copy
			var done bool
			ended := make(chan error)
			go func() {
				var err error
				row, done, err = c.call(x.Index, fence)
				ended <- err
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
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if row.State != c.state || row.Fence != c.fence || done != c.done {
				t.Errorf("it returned a row %s under fence %d, and %v; want %s, %d and %v", row.State, row.Fence, done, c.state, c.fence, c.done)
			}
			var state ledger.State
			if err := x.db.QueryRow(t.Context(), "select state from copies").Scan(&state); err != nil || state != c.state {
				t.Errorf("the row is %s, error %v; want %s", state, err, c.state)
			}
		})
	}
}

// A caller that can't have a row gets the answer at once, even while another changes
// it.
func TestClaimCopyWaitsForNoOther(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t, pgtest.New(t))
	claimed(t, x.Index, time.Hour)
	tx, err := x.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), "select from copies for update"); err != nil {
		t.Fatal(err)
	}
	if c, won, err := x.Change(t.Context(), ledger.Claim(wanted, time.Hour)); err != nil || won || c.Fence != 1 {
		t.Errorf("Claim: %+v, won %v, error %v", c, won, err)
	}
	if c, _, err := x.Change(t.Context(), ledger.Request(wanted)); err != nil || c.State != ledger.StateUploading {
		t.Errorf("Request: %+v, error %v", c, err)
	}
}

// A use that is no news is not written.
func TestUseCopiesWritesOnlyNews(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t, pgtest.New(t))
	ready(t, x.Index)
	at := time.Now()
	for _, c := range []struct {
		at     time.Time
		writes bool
	}{{at, true}, {at, false}, {at.Add(-time.Hour), false}, {at.Add(time.Hour), true}} {
		// ctid moves with every write of a row.
		version := func() (v string) {
			if err := x.db.QueryRow(t.Context(), "select ctid::text from copies").Scan(&v); err != nil {
				t.Fatal(err)
			}
			return v
		}
		before := version()
		if err := x.UseCopies(t.Context(), map[ledger.Key]time.Time{wanted.Key: c.at}); err != nil {
			t.Fatal(err)
		}
		if wrote := version() != before; wrote != c.writes {
			t.Errorf("a use %v later: written %v", c.at.Sub(at), wrote)
		}
	}
}

// A call that makes room doesn't wait for a locked row. It takes the next one.
func TestEvictCopySkipsLocked(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t, pgtest.New(t))
	ready(t, x.Index)
	tx, err := x.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), "select from copies for update"); err != nil {
		t.Fatal(err)
	}
	room := wanted.Key
	room.Digest = randomDigest()
	if c, won, err := indextest.EvictLeastUsed(t.Context(), x, ledger.Eviction{Room: room}, time.Hour); err != nil || won {
		t.Errorf("EvictLeastUsed took %+v, error %v", c, err)
	}
	second := wanted
	second.Digest = randomDigest()
	c, _, err := x.Change(t.Context(), ledger.Claim(second, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.Change(t.Context(), ledger.Complete(second.Key, c.Fence, remote)); err != nil {
		t.Fatal(err)
	}
	if c, won, err := indextest.EvictLeastUsed(t.Context(), x, ledger.Eviction{Room: room}, time.Hour); err != nil || !won || c.Key != second.Key {
		t.Errorf("EvictLeastUsed took %+v, won %v, error %v; want the copy that is free", c, won, err)
	}
}

// A use is recorded within the row's page and without touching an index, as long as
// no index has that column in it.
func TestNoIndexOnLastUse(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t, pgtest.New(t))
	var all, some int
	err := x.db.QueryRow(t.Context(), `select count(*), count(*) filter (where indexdef like '%last_used_at%')
		from pg_indexes where tablename = 'copies'`).Scan(&all, &some)
	if err != nil || all == 0 || some > 0 {
		t.Errorf("%d of %d indexes have last_used_at in them, error %v", some, all, err)
	}
}

func BenchmarkClaimAndComplete(b *testing.B) {
	x := open(b, pgindex.Options{URL: pgtest.New(b)})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w := wanted
			w.Digest = randomDigest()
			c, won, err := x.Change(context.Background(), ledger.Claim(w, time.Hour))
			if err == nil && !won {
				err = fmt.Errorf("the claim was not won")
			}
			if err == nil {
				_, _, err = x.Change(context.Background(), ledger.Complete(w.Key, c.Fence, remote))
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
