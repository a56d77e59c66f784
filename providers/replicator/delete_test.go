package replicator_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// A delete that the provider refuses again and again is repeated less and less often.
func TestRefusedDeletesAreRepeatedLessOften(t *testing.T) {
	t.Parallel()
	hint := fail(providers.OpDelete, providers.KindTransient, "rate", nil)
	hint.Status, hint.RetryAfter = 429, 100*time.Millisecond
	for name, set := range map[string]func(d *depot){
		"deleted: false, and the file stays": func(d *depot) { d.notDeleted, d.staying = 1000, true },
		"an error": func(d *depot) {
			d.before = times(1000, providers.OpDelete, fail(providers.OpDelete, providers.KindTransient, "busy", nil))
		},
		"a 429 with a short wait": func(d *depot) { d.before = times(1000, providers.OpDelete, hint) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.replicator(t, nil)
			q := want(w.put(t, "a text", "a.txt"))
			c := ensure(t, r, q)
			w.depot.change(set)
			for attempt, atLeast := range []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
				began := time.Now()
				rows, err := r.Remove(t.Context(), q)
				if err != nil || rows[0].State != ledger.StateDeleting {
					t.Fatalf("removed: %+v, error %v", rows, err)
				}
				row := w.row(t, c.Key)
				if wait := row.NextAttemptAt.Sub(began); row.Attempts != attempt+1 || wait < atLeast {
					t.Errorf("after refusal %d the row counts %d, and waits %s; want %s at least", attempt+1, row.Attempts, wait, atLeast)
				}
			}
		})
	}
}

// listOnly is a provider that can't look files up.
type listOnly struct{ providers.Guarded }

// A 404 for a delete doesn't count if the provider still has the file, however old it is.
func TestDeleteDoubtsA404(t *testing.T) {
	for name, test := range map[string]struct {
		wrap func(d *depot) providers.Guarded
		code string
	}{
		"it can be looked up": {func(d *depot) providers.Guarded { return d }, providers.CodeNotDeleted},
		"it is listed":        {func(d *depot) providers.Guarded { return listOnly{d} }, providers.CodeUnconfirmed},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world, _ *replicator.Replicator) {
				r := w.replicator(t, func(o *replicator.Options) {
					o.Providers, o.PollInterval = []providers.Guarded{test.wrap(w.depot)}, 15*time.Second
				})
				run(t, r)
				q := want(w.put(t, "a text", "a.txt"))
				c := ensure(t, r, q)
				time.Sleep(2 * settling)
				w.depot.hook(times(2, providers.OpDelete, lost(providers.OpDelete)), nil)
				rows, err := r.Remove(t.Context(), q)
				if err != nil || rows[0].State != ledger.StateDeleting || rows[0].Error == nil || rows[0].Error.Code != test.code {
					t.Errorf("removed: %+v, error %v", rows, err)
				}
				time.Sleep(time.Minute)
				w.wantOnlyGone(t, c, nil)
			})
		})
	}
}

// A late list has a file that is gone. The copy whose eviction deleted it does not become
// ready again.
func TestEvictionOfAFileThatIsOnlyListed(t *testing.T) {
	inRoom(t, 1, func(t *testing.T, w *world, _ *replicator.Replicator) {
		r := w.replicator(t, func(o *replicator.Options) {
			o.Providers, o.PollInterval = []providers.Guarded{listOnly{w.depot}}, 15*time.Second
		})
		run(t, r)
		first := ensure(t, r, want(w.put(t, "first", "a.txt")))
		time.Sleep(2 * settling)
		// The first delete deletes the file, and its reply gets lost.
		w.depot.change(func(d *depot) { d.deleting = 20 * time.Second })
		w.depot.hook(
			func(ctx context.Context, op providers.Op, what string) error {
				if op == providers.OpDelete && slices.Contains(w.depot.deletedIDs(), what) {
					return lost(op)
				}
				return nil
			},
			times(1, providers.OpDelete, fail(providers.OpDelete, providers.KindUnknown, "lost", nil)))
		if _, err := r.Begin(t.Context(), want(w.put(t, "second", "a.txt"))); err != nil {
			t.Fatal(err)
		}
		for range 40 { // for 40 s
			time.Sleep(time.Second)
			if state := w.row(t, first.Key).State; state != ledger.StateDeleting && state != ledger.StateEvicted {
				t.Fatalf("the copy whose file is gone is %s", state)
			}
		}
		time.Sleep(5 * time.Minute)
		if state := w.row(t, first.Key).State; state != ledger.StateEvicted {
			t.Errorf("in the end the copy is %s", state)
		}
	})
}

// brokenBlobs is a store that can't find a blob at one of the calls.
type brokenBlobs struct {
	*cas.Store
	left *int
}

func (b brokenBlobs) Blob(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	if *b.left--; *b.left == 0 {
		return cas.Blob{}, cas.ErrIndexUnavailable
	}
	return b.Store.Blob(ctx, d)
}

// A failure of the index during a report of a lost file doesn't make it a report about
// another copy.
func TestReportLostDuringAFailure(t *testing.T) {
	t.Parallel()
	w, left := newWorld(t), 0
	r := w.replicator(t, func(o *replicator.Options) { o.Blobs = brokenBlobs{w.store, &left} })
	q := want(w.put(t, "some text", "a.txt"))
	ensure(t, r, q)
	named := q
	named.Name = "a.pdf"
	second := ensure(t, r, named)
	w.depot.forget(second.FileID)
	left = 2
	if c, _, err := r.ReportLost(t.Context(), q, second.FileID); err == nil && c.Key != second.Key {
		t.Errorf("the report about %s returned %s", second.Key, c.Key)
	}
	left = 0
	if c, _, err := r.ReportLost(t.Context(), q, second.FileID); err == nil && c.FileID == second.FileID {
		t.Error("the lost file is the copy's still")
	}
	if c := ensure(t, r, named); c.FileID == second.FileID {
		t.Error("the copy has the lost file")
	}
}
