package replicator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas/castest"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// While no delete succeeds, one copy at most goes for one place, however often the upload
// is tried. A copy whose file the provider keeps is ready.
func TestFailingDeletesCostOneCopy(t *testing.T) {
	t.Parallel()
	ready, deleting := []ledger.State{ledger.StateReady}, []ledger.State{ledger.StateDeleting}
	gone := []ledger.State{ledger.StateDeleting, ledger.StateEvicted} // as soon as that is certain
	for name, test := range map[string]struct {
		before, after error // of each delete
		notDeleted    bool
		want          []ledger.State // of the copy, while deletes fail
		quick         bool           // also between two edits
	}{
		"500":                         {before: refusedDelete(500, providers.KindTransient), want: ready, quick: true},
		"403":                         {before: refusedDelete(403, providers.KindAuth), want: ready},
		"400":                         {before: refusedDelete(400, providers.KindPermanent), want: ready},
		"429":                         {before: refusedDelete(429, providers.KindTransient), want: ready},
		"the breaker":                 {before: fail(providers.OpDelete, providers.KindTransient, providers.CodeUnavailable, nil), want: ready},
		"deleted: false":              {notDeleted: true, want: ready},
		"504":                         {before: refusedDelete(504, providers.KindTransient), want: deleting},
		"no connection":               {before: fail(providers.OpDelete, providers.KindTransient, providers.CodeConnection, nil), want: deleting, quick: true},
		"the replies of all get lost": {after: fail(providers.OpDelete, providers.KindUnknown, "lost", nil), want: gone},
	} {
		if castest.Thorough(1, 0) == 0 && !test.quick {
			continue
		}
		t.Run(name, func(t *testing.T) {
			inRoom(t, 4, func(t *testing.T, w *world, r *replicator.Replicator) {
				var ours []ledger.Copy
				for i := range 4 {
					ours = append(ours, ensure(t, r, want(w.put(t, fmt.Sprint("document ", i), "a.txt"))))
					time.Sleep(time.Second)
				}
				fails := func(err error) func(context.Context, providers.Op, string) error {
					return only(providers.OpDelete, func(context.Context, string) error { return err })
				}
				w.depot.hook(fails(test.before), fails(test.after))
				if test.notDeleted {
					w.depot.change(func(d *depot) { d.notDeleted, d.staying = 1000, true })
				}
				q := want(w.put(t, "one more", "a.txt"))
				if _, err := r.Begin(t.Context(), q); err != nil {
					t.Fatal(err)
				}
				for range 10 { // for 40 s
					time.Sleep(4 * time.Second)
					for i, c := range ours {
						state := w.row(t, c.Key).State
						if i == 0 && slices.Contains(test.want, state) || i > 0 && state == ledger.StateReady {
							continue
						}
						t.Fatalf("copy %d is %s", i, state)
					}
				}
				w.depot.hook(nil, nil)
				w.depot.change(func(d *depot) { d.notDeleted = 0 })
				q.Retry = true
				ensure(t, r, q)
				if n := w.countEvicted(t, ours); n != 1 || len(w.depot.fileIDs()) != 4 {
					t.Errorf("%d copies were evicted, %v are left", n, w.depot.fileIDs())
				}
			})
		})
	}
}

// A file that the provider never deletes is left after three refusals, and another one goes.
func TestEvictionLeavesAFileThatStays(t *testing.T) {
	inRoom(t, 2, func(t *testing.T, w *world, r *replicator.Replicator) {
		first := ensure(t, r, want(w.put(t, "in a batch", "a.txt")))
		time.Sleep(time.Second)
		second := ensure(t, r, want(w.put(t, "free", "a.txt")))
		w.depot.hook(only(providers.OpDelete, func(_ context.Context, id string) error {
			if id == first.FileID {
				e := fail(providers.OpDelete, providers.KindPermanent, "in_use", nil)
				e.Status = 409
				return e
			}
			return nil
		}), nil)
		ensure(t, r, want(w.put(t, "one more", "a.txt")))
		if a, b := w.row(t, first.Key).State, w.row(t, second.Key).State; a != ledger.StateReady || b != ledger.StateEvicted || w.depot.count(providers.OpDelete) != 4 {
			t.Errorf("the file that stays is of a copy that is %s, the other one %s, after %d deletes", a, b, w.depot.count(providers.OpDelete))
		}
	})
}

// An upload goes on with the eviction that a killed gateway has begun.
func TestEvictionOfADeadGatewayIsFinished(t *testing.T) {
	inRoom(t, 2, func(t *testing.T, w *world, r *replicator.Replicator) {
		var ours []ledger.Copy
		for i := range 2 {
			ours = append(ours, ensure(t, r, want(w.put(t, fmt.Sprint("document ", i), "a.txt"))))
			time.Sleep(time.Second)
		}
		if _, won, err := w.ledger.Change(t.Context(), ledger.Evict(w.row(t, ours[0].Key), 30*time.Second)); err != nil || !won {
			t.Fatal(won, err)
		}
		ensure(t, r, want(w.put(t, "one more", "a.txt")))
		if n := w.countEvicted(t, ours); n != 1 {
			t.Errorf("%d copies were evicted", n)
		}
	})
}

// The provider takes a while to delete a file: no further copy goes for its place.
func TestEvictedFileIsListedForAWhile(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.change(func(d *depot) {
			d.room, d.refusal, d.deleting = 4, fail(providers.OpUpload, providers.KindQuota, "full", nil), 8*time.Second
			d.refusal.TooMany = true
		})
		var ours []ledger.Copy
		for i := range 4 {
			ours = append(ours, ensure(t, r, want(w.put(t, fmt.Sprint("document ", i), "a.txt"))))
			time.Sleep(time.Second)
		}
		ensure(t, r, want(w.put(t, "one more", "a.txt")))
		if n := w.countEvicted(t, ours); n != 1 {
			t.Errorf("%d copies were evicted", n)
		}
	})
}

// A caller that asks to delete a copy during its eviction gets that, though the provider
// keeps the file for now.
func TestDeleteDuringAnEviction(t *testing.T) {
	inRoom(t, 1, func(t *testing.T, w *world, r *replicator.Replicator) {
		first := ensure(t, r, want(w.put(t, "first", "a.txt")))
		g := newGate()
		w.depot.hook(func(ctx context.Context, op providers.Op, what string) error {
			if op != providers.OpDelete {
				return nil
			}
			if err := g.pass(ctx); err != nil {
				return err
			}
			return times(1, providers.OpDelete, refusedDelete(500, providers.KindTransient))(ctx, op, what)
		}, nil)
		if _, err := r.Begin(t.Context(), want(w.put(t, "second", "a.txt"))); err != nil {
			t.Fatal(err)
		}
		<-g.reached
		if _, err := r.Remove(t.Context(), want(first.Digest)); err != nil {
			t.Fatal(err)
		}
		w.depot.hook(nil, nil)
		g.open()
		synctest.Wait()
		time.Sleep(time.Minute)
		if _, err := w.ledger.Copy(t.Context(), first.Key); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("the copy is there: %v", err)
		}
	})
}

// refusedDelete is the error of a delete that the provider has answered.
func refusedDelete(status int, kind providers.Kind) *providers.Error {
	e := fail(providers.OpDelete, kind, "no", nil)
	e.Status = status
	return e
}
