package replicator_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// renamed is w's provider after its key has changed: the same files, another account.
func (w *world) renamed(t *testing.T) *replicator.Replicator {
	t.Helper()
	moved := newDepot()
	moved.description.Account = "depot:team@depot.example"
	moved.files, moved.sums, moved.nextID = w.depot.files, w.depot.sums, 1000
	w.depot = moved
	return w.replicator(t, nil)
}

// A new key for the same account: a reconcile finds the files of the old account's
// copies, deletes none of them, and reports the copies. After the move they are found.
func TestReconcileUnderANewKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := ensure(t, w.replicator(t, nil), want(w.put(t, "some text", "a.txt")))
	r := w.renamed(t)
	report, err := r.Reconcile(t.Context(), "depot", replicator.ReconcileOptions{Apply: true})
	if err != nil || len(report.Unknown)+len(report.Elsewhere) > 0 || len(report.Misplaced) != 1 || report.Misplaced[0].Key != old.Key {
		t.Errorf("%+v, error %v", report, err)
	}
	moved, err := ledger.MoveAccount(t.Context(), w.ledger, ledger.AccountMove{Provider: "depot", From: old.Account, To: w.depot.description.Account})
	if err != nil || len(moved.Copies) != 1 {
		t.Fatalf("%+v, error %v", moved, err)
	}
	if c, created, err := r.Ensure(t.Context(), want(old.Digest)); err != nil || created || c.FileID != old.FileID {
		t.Errorf("%+v, created %t, error %v", c, created, err)
	}
}

// A delete of a copy at another account is refused by nothing: it waits, and says what is
// missing. After the move the file is deleted.
func TestRemoveAtAnotherAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := ensure(t, w.replicator(t, nil), want(w.put(t, "some text", "a.txt")))
	r := w.renamed(t)
	run(t, r)
	rows, err := r.Remove(t.Context(), want(old.Digest))
	if err != nil || len(rows) != 1 || rows[0].State != ledger.StateDeleting || rows[0].Error == nil || rows[0].Error.Hint == "" {
		t.Fatalf("%+v, error %v", rows, err)
	}
	listed, err := r.Copies(t.Context(), old.Digest)
	if err != nil || len(listed) != 1 || listed[0].State != ledger.StateDeleting {
		t.Errorf("the list has %+v, error %v", listed, err)
	}
	if _, err := ledger.MoveAccount(t.Context(), w.ledger, ledger.AccountMove{Provider: "depot", From: old.Account, To: w.depot.description.Account}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the delete of the file", func() bool { return len(w.depot.fileIDs()) == 0 })
	if _, err := r.Remove(t.Context(), replicator.Request{Digest: old.Digest, Provider: "nobody"}); !errors.Is(err, providers.ErrProviderNotFound) {
		t.Errorf("of an unknown provider: %v", err)
	}
}

// A delete that fails while the file is gone: a reconcile ends it.
func TestReconcileEndsDeletes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	c := ensure(t, r, want(w.put(t, "some text", "a.txt")))
	busy := fail(providers.OpDelete, providers.KindTransient, "busy", nil)
	busy.RetryAfter = time.Hour
	w.depot.hook(func(_ context.Context, op providers.Op, _ string) error {
		if op == providers.OpDelete {
			return busy
		}
		return nil
	}, nil)
	if rows, err := r.Remove(t.Context(), want(c.Digest)); err != nil || rows[0].State != ledger.StateDeleting {
		t.Fatalf("%+v, error %v", rows, err)
	}
	w.depot.forget(c.FileID)
	report, err := r.Reconcile(t.Context(), "depot", replicator.ReconcileOptions{})
	if err != nil || len(report.Deletes) != 1 || w.row(t, c.Key).State != ledger.StateDeleting {
		t.Fatalf("%+v, error %v", report, err)
	}
	w.depot.hook(nil, nil)
	if report, err = r.Reconcile(t.Context(), "depot", replicator.ReconcileOptions{Apply: true}); err != nil || len(report.Deletes) != 1 || len(report.Failures) > 0 {
		t.Errorf("%+v, error %v", report, err)
	}
	if _, err := w.ledger.Copy(t.Context(), c.Key); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("the row: %v", err)
	}
}
