package replicator_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// forgetful is a store that still remembers blobs which the index has condemned.
type forgetful struct {
	*cas.Store
	remembered map[cas.Digest]cas.Blob
}

func (f forgetful) Blob(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	if b, ok := f.remembered[d]; ok {
		return b, nil
	}
	return f.Store.Blob(ctx, d)
}

func (w *world) remember(t *testing.T, d cas.Digest) forgetful {
	t.Helper()
	b, err := w.store.Blob(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return forgetful{w.store, map[cas.Digest]cas.Blob{d: b}}
}

// removeAll deletes a blob with its copies.
func removeAll(t *testing.T, r *replicator.Replicator, w *world, q replicator.Request) []ledger.Copy {
	t.Helper()
	q.OperationID = "removal"
	rm, err := r.RemoveAll(t.Context(), q, func() error { return w.store.Delete(t.Context(), q.Digest, cas.CondemnOptions{}) })
	if err != nil {
		t.Fatal(err)
	}
	return rm.Wait(t.Context())
}

func TestRemoveAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	if rows := removeAll(t, r, w, q); len(rows) != 0 {
		t.Errorf("without copies: %+v", rows)
	}
	q = want(w.put(t, "more text", "a.txt"))
	ensure(t, r, q)
	named := q
	named.Name = "a.pdf"
	ensure(t, r, named)
	rows := removeAll(t, r, w, q)
	if len(rows) != 2 || rows[0].State != ledger.StateDeleted || rows[1].State != ledger.StateDeleted || len(w.depot.fileIDs()) != 0 {
		t.Errorf("%+v; there are still %v", rows, w.depot.fileIDs())
	}
	if _, _, err := r.Ensure(t.Context(), q); !errors.Is(err, cas.ErrBlobNotFound) {
		t.Errorf("a copy of a deleted blob: %v", err)
	}
}

// Copies at an account without a key wait for the key; those of which nothing is
// there don't.
func TestRemoveAllElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := want(w.put(t, "some text", "a.txt"))
	ensure(t, w.replicator(t, nil), q)
	key := w.depot.description.Account
	w.depot.description.Account = "another"
	r := w.replicator(t, nil)
	w.depot.hook(times(1, providers.OpUpload, fail(providers.OpUpload, providers.KindPermanent, "no", nil)), nil)
	if _, _, err := r.Ensure(t.Context(), q); err == nil {
		t.Fatal("no failure")
	}
	w.depot.description.Account = "a third"
	rows := removeAll(t, w.replicator(t, nil), w, q)
	for _, c := range rows {
		switch {
		case c.Account == "another" && c.State == ledger.StateDeleted:
		case c.Account == key && c.State == ledger.StateDeleting && c.Error != nil && c.Error.Code == providers.CodeNotConfigured:
		default:
			t.Errorf("%+v", c)
		}
	}
	if len(rows) != 2 || len(w.depot.fileIDs()) != 1 {
		t.Errorf("%d rows, and the files %v", len(rows), w.depot.fileIDs())
	}
	// With the key it goes on.
	w.depot.description.Account = key
	run(t, w.replicator(t, nil))
	eventually(t, "the copy is gone", func() bool { return len(w.depot.fileIDs()) == 0 })
}

// A failure in between leaves copies that are deleted nevertheless.
func TestRemoveAllReleaseFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	c := ensure(t, r, q)
	if _, err := r.RemoveAll(t.Context(), q, func() error { return cas.ErrBlobInUse }); !errors.Is(err, cas.ErrBlobInUse) {
		t.Errorf("%v", err)
	}
	eventually(t, "the marked copy is gone", func() bool { return len(w.depot.fileIDs()) == 0 })
	if again := ensure(t, r, q); again.FileID == c.FileID {
		t.Error("the deleted file came back")
	}
}

// A copy that is begun while the blob is deleted is deleted too.
func TestRemoveAllFindsWhatWasBegunMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	q2 := q
	q2.OperationID = "removal"
	rm, err := r.RemoveAll(t.Context(), q2, func() error {
		ensure(t, r, q)
		return w.store.Delete(t.Context(), q.Digest, cas.CondemnOptions{})
	})
	if err != nil {
		t.Fatal(err)
	}
	if rows := rm.Wait(t.Context()); len(rows) != 1 || rows[0].State != ledger.StateDeleted || len(w.depot.fileIDs()) != 0 {
		t.Errorf("%+v; there are still %v", rows, w.depot.fileIDs())
	}
}

// A gateway that still remembers a deleted blob doesn't upload it.
func TestDeletedBlobIsNotUploaded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.put(t, "some text", "a.txt")
	r := w.replicator(t, func(o *replicator.Options) { o.Blobs = w.remember(t, d) })
	removeAll(t, r, w, want(d))
	if _, _, err := r.Ensure(t.Context(), want(d)); !errors.Is(err, cas.ErrBlobNotFound) {
		t.Errorf("Ensure: %v", err)
	}
	run(t, r)
	if c, err := r.Begin(t.Context(), replicator.Request{Digest: d, Provider: "depot", OperationID: "begun", Retry: true}); err != nil && c.State == "" {
		t.Fatal(err)
	}
	eventually(t, "the copy is given up", func() bool {
		c, err := r.Operation(t.Context(), "begun")
		return err == nil && c.State == ledger.StateFailed && c.Error.Code == providers.CodeBlobNotFound
	})
	if n := w.depot.count(providers.OpUpload); n != 0 {
		t.Errorf("%d uploads", n)
	}
}

// A copy that is being uploaded is not said to be deleted before the upload can't
// get through any more; also where its gateway dies.
func TestRemoveAllWhileUploading(t *testing.T) {
	t.Parallel()
	for name, stored := range map[string]bool{"before the file is stored": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			short := func(o *replicator.Options) { o.Lease = time.Second }
			uploader := w.replicator(t, short)
			var events atomic.Int32
			remover := w.replicator(t, func(o *replicator.Options) {
				short(o)
				o.OnEvent = func(e replicator.Event) {
					if e.Kind == replicator.EventDeleted && e.OperationID == "removal" && e.Actor == "me" && e.Err == nil {
						events.Add(1)
					}
				}
			})
			q := want(w.put(t, "some text", "a.txt"))
			g := newGate()
			hook := only(providers.OpUpload, func(ctx context.Context, _ string) error { return g.pass(context.WithoutCancel(ctx)) })
			if stored {
				w.depot.hook(nil, hook)
			} else {
				w.depot.hook(hook, nil)
			}
			open := sync.OnceFunc(g.open)
			t.Cleanup(open)
			done := make(chan error, 1)
			go func() { _, _, err := uploader.Ensure(t.Context(), q); done <- err }()
			<-g.reached
			q.Actor = "me"
			rows := removeAll(t, remover, w, q)
			confirmed := ledger.StateDeleting
			if stored {
				confirmed = ledger.StateDeleted // the file was found, so nothing more can come
			}
			if len(rows) != 1 || rows[0].State != confirmed {
				t.Fatalf("%+v", rows)
			}
			open()
			w.depot.hook(nil, nil)
			run(t, remover)
			eventually(t, "the delete is over", func() bool {
				c, err := remover.Operation(t.Context(), "removal")
				return err == nil && c.State == ledger.StateDeleted
			})
			if ids := w.depot.fileIDs(); len(ids) != 0 {
				t.Errorf("it is said to be deleted, and there are %v", ids)
			}
			if err := <-done; !errors.Is(err, cas.ErrBlobNotFound) {
				t.Errorf("the caller that had requested the copy: %v", err)
			}
			if !stored {
				eventually(t, "one event comes", func() bool { return events.Load() == 1 })
			}
		})
	}
}

// A caller that doesn't wait gets the present state, and OnEvent is called at the end.
func TestRemoveAllIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	events := make(chan replicator.Event, 10)
	r := w.replicator(t, func(o *replicator.Options) { o.OnEvent = func(e replicator.Event) { events <- e } })
	q := want(w.put(t, "some text", "a.txt"))
	ensure(t, r, q)
	for len(events) > 0 {
		<-events
	}
	g := newGate()
	w.depot.hook(only(providers.OpDelete, func(ctx context.Context, _ string) error { return g.pass(ctx) }), nil)
	q.OperationID, q.Actor, q.File = "removal", "me", "file-1"
	ctx, leave := context.WithCancel(t.Context())
	rm, err := r.RemoveAll(ctx, q, func() error { return w.store.Delete(ctx, q.Digest, cas.CondemnOptions{}) })
	if err != nil {
		t.Fatal(err)
	}
	open := sync.OnceFunc(g.open)
	t.Cleanup(open)
	<-g.reached
	leave()
	rows := rm.Wait(ctx)
	if !slices.ContainsFunc(rows, func(c ledger.Copy) bool { return c.State == ledger.StateDeleting }) {
		t.Errorf("%+v", rows)
	}
	open()
	e := <-events
	if e.Kind != replicator.EventDeleted || e.OperationID != "removal" || e.Actor != "me" || e.File != "file-1" || e.Err != nil {
		t.Errorf("%+v", e)
	}
	if len(w.depot.fileIDs()) != 0 {
		t.Errorf("there are still %v", w.depot.fileIDs())
	}
}

// A second delete of a blob everywhere, while the first one deletes its copy, leaves the
// operation of the first one.
func TestRemoveAllTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		q := want(w.put(t, "some text", "a.txt"))
		ensure(t, r, q)
		time.Sleep(settling)
		deleting, goOn := w.depot.holdDelete()
		first := make(chan []ledger.Copy)
		go func() { first <- removeAll(t, r, w, q) }()
		<-deleting
		again := q
		again.OperationID = "again"
		rm, err := r.RemoveAll(t.Context(), again, func() error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if rows := rm.Wait(t.Context()); len(rows) != 1 || rows[0].State != ledger.StateDeleting || rows[0].OperationID != "removal" {
			t.Errorf("the second delete returned %+v", rows)
		}
		goOn()
		if rows := <-first; len(rows) != 1 || rows[0].State != ledger.StateDeleted || rows[0].OperationID != "removal" {
			t.Errorf("the first delete returned %+v", rows)
		}
	})
}
