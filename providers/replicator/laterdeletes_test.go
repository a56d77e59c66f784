package replicator_test

import (
	"errors"
	"fmt"
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

// A row keeps the operations of 64 later deletes. A further one is told so, and never that
// the copy is gone. A blob is released nevertheless.
func TestTooManyDeletesOfACopy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, told := newWorld(t), &events{}
		r := w.replicator(t, func(o *replicator.Options) { o.PollInterval, o.OnEvent = 15*time.Second, told.take })
		run(t, r)
		q := want(w.put(t, "first", "a.txt"))
		c := ensure(t, r, q)
		w.depot.hook(times(1000, providers.OpDelete, refusedDelete(500, providers.KindTransient)), nil)
		q.Actor = "somebody"
		for i := range 65 {
			q.OperationID = fmt.Sprint(i)
			if rows, err := r.Remove(t.Context(), q); err != nil || !rows[0].IsDeletedFor(q.OperationID) {
				t.Fatalf("delete %d returned %+v, error %v", i, rows, err)
			}
		}
		q.OperationID = "one more"
		if rows, err := r.Remove(t.Context(), q); !errors.Is(err, providers.ErrCopyInProgress) {
			t.Errorf("one more delete returned %+v, error %v", rows, err)
		}
		q.OperationID, q.Actor = "everywhere", "" // so that its end is always told
		rm, err := r.RemoveAll(t.Context(), q, func() error { return w.store.Delete(t.Context(), q.Digest, cas.CondemnOptions{}) })
		if err != nil {
			t.Fatal(err)
		}
		if rows := rm.Wait(t.Context()); rows[0].State != ledger.StateDeleting || rows[0].OperationID != "0" {
			t.Errorf("the delete everywhere returned %+v", rows)
		}
		if some := told.of("everywhere"); len(some) != 1 || !errors.Is(some[0].Err, providers.ErrCopyInProgress) {
			t.Errorf("of the delete everywhere was told: %+v", some)
		}
		if _, err := w.store.Blob(t.Context(), q.Digest); !errors.Is(err, cas.ErrBlobNotFound) {
			t.Errorf("the blob: %v", err)
		}
		w.depot.hook(nil, nil)
		time.Sleep(time.Hour)
		for i := range 65 {
			if some := told.of(fmt.Sprint(i)); len(some) != 1 || some[0].Err != nil {
				t.Errorf("of operation %d was told: %+v", i, some)
			}
		}
		if a, b := told.of("one more"), told.of("everywhere"); len(a) != 0 || len(b) != 1 {
			t.Errorf("in the end was told: %+v and %+v", a, b)
		}
		w.wantOnlyGone(t, c, nil)
	})
}
