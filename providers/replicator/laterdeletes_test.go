package replicator_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// Several operations delete a copy while it is evicted, or while another one of them deletes
// it. The row keeps the first one, so that it can be asked for, and each has one end.
func TestEachDeleteOfACopyHasAnEnd(t *testing.T) {
	t.Parallel()
	rm := func(t *testing.T, _ *world, r *replicator.Replicator, q replicator.Request) ledger.Copy {
		rows, err := r.Remove(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return rows[0]
	}
	everywhere := func(t *testing.T, w *world, r *replicator.Replicator, q replicator.Request) ledger.Copy {
		rm, err := r.RemoveAll(t.Context(), q, func() error {
			err := w.store.Delete(t.Context(), q.Digest, cas.CondemnOptions{})
			if errors.Is(err, cas.ErrBlobNotFound) {
				err = nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return rm.Wait(t.Context())[0]
	}
	type remove func(*testing.T, *world, *replicator.Replicator, replicator.Request) ledger.Copy
	for name, test := range map[string]struct {
		evicted       bool // otherwise the provider refuses the deletes
		first, second remove
	}{
		"everywhere, then the copy, of an evicted one": {true, everywhere, rm},
		"the copy, then everywhere, of an evicted one": {true, rm, everywhere},
		"the copy twice, of an evicted one":            {true, rm, rm},
		"the copy twice":                               {false, rm, rm},
		"the copy, then everywhere":                    {false, rm, everywhere},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, told := newWorld(t), &events{}
				w.depot.description.Purposes[0].SettlingSeconds = settling.Seconds()
				w.depot.description.MaxFiles = 1
				r := w.replicator(t, func(o *replicator.Options) { o.PollInterval, o.OnEvent = 15*time.Second, told.take })
				run(t, r)
				q := want(w.put(t, "first", "a.txt"))
				c := ensure(t, r, q)
				time.Sleep(settling)
				made, goOn := (<-chan error)(nil), func() { w.depot.hook(nil, nil) }
				if test.evicted {
					deleting, release := w.depot.holdDelete()
					made, goOn = w.asks(t, r, "one more"), release
					<-deleting
				} else {
					w.depot.hook(times(1000, providers.OpDelete, refusedDelete(500, providers.KindTransient)), nil)
				}
				q.OperationID, q.Actor = "1", "somebody"
				if row := test.first(t, w, r, q); row.State != ledger.StateDeleting || row.OperationID != "1" {
					t.Errorf("the first delete returned %+v", row)
				}
				q.OperationID = "2"
				if row := test.second(t, w, r, q); row.State != ledger.StateDeleting || row.OperationID != "1" {
					t.Errorf("the second delete returned %+v", row)
				}
				if row, err := r.Operation(t.Context(), "1"); err != nil || row.State != ledger.StateDeleting {
					t.Errorf("the first operation is about %+v, error %v", row, err)
				}
				goOn()
				if made != nil {
					if err := <-made; err != nil {
						t.Errorf("the upload: %v", err)
					}
				}
				time.Sleep(time.Minute)
				for _, id := range []string{"1", "2"} {
					if some := told.of(id); len(some) != 1 || some[0].Kind != replicator.EventDeleted || some[0].Actor != "somebody" || some[0].Err != nil {
						t.Errorf("of operation %s was told: %+v", id, some)
					}
				}
				if row, err := r.Operation(t.Context(), "1"); err != nil || row.State != ledger.StateDeleted {
					t.Errorf("the first operation is about %+v, error %v", row, err)
				}
				w.wantOnlyGone(t, c, nil)
			})
		})
	}
}

// A second delete comes while a caller waits for its own. Both get the result, or an event.
func TestDeleteJoinsThatOfACaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, told := newWorld(t), &events{}
		r := w.replicator(t, func(o *replicator.Options) { o.PollInterval, o.OnEvent = 15*time.Second, told.take })
		run(t, r)
		q := want(w.put(t, "first", "a.txt"))
		c := ensure(t, r, q)
		deleting, goOn := w.depot.holdDelete()
		q.OperationID, q.Actor = "1", "somebody"
		first := make(chan ledger.State, 1)
		go func(q replicator.Request) {
			rows, err := r.Remove(t.Context(), q)
			if err != nil {
				t.Error(err)
			}
			first <- rows[0].State
		}(q)
		<-deleting
		q.OperationID = "2"
		if rows, err := r.Remove(t.Context(), q); err != nil || rows[0].State != ledger.StateDeleting || rows[0].OperationID != "1" {
			t.Errorf("the second delete returned %+v, error %v", rows, err)
		}
		goOn()
		if state := <-first; state != ledger.StateDeleted {
			t.Errorf("the first delete returned %s", state)
		}
		synctest.Wait()
		if a, b := told.of("1"), told.of("2"); len(a) != 0 || len(b) != 1 || b[0].Kind != replicator.EventDeleted {
			t.Errorf("told: %+v and %+v", a, b)
		}
		w.wantOnlyGone(t, c, nil)
	})
}
