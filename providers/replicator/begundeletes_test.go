package replicator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/cas/castest"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// unclearEnd is how the first deletes of a file end whose outcome is not clear.
type unclearEnd struct {
	before, after error // of the first deletes
	times         int
	notDeleted    int
	fresh         bool // the copy is younger than the settling time
	quick         bool // also between two edits
}

var unclearEnds = map[string]unclearEnd{
	"the reply gets lost":               {after: fail(providers.OpDelete, providers.KindUnknown, "lost", nil), times: 1, quick: true},
	"the reply gets lost, of a new one": {after: fail(providers.OpDelete, providers.KindUnknown, "lost", nil), times: 1, fresh: true},
	"deleted: false, of a new one":      {notDeleted: 1, fresh: true, quick: true},
	"500 twice":                         {before: refusedDelete(500, providers.KindTransient), times: 2, quick: true},
	"504 twice":                         {before: refusedDelete(504, providers.KindTransient), times: 2},
}

// hold makes the next delete wait for goOn, and closes deleting when it has begun. It and
// the deletes after it end as e says.
func (e unclearEnd) hold(d *depot) (deleting chan struct{}, goOn func()) {
	deleting, going := make(chan struct{}), make(chan struct{})
	n, replies := 0, e.times
	d.change(func(d *depot) { d.notDeleted = e.notDeleted })
	d.hook(only(providers.OpDelete, func(context.Context, string) error {
		if n++; n == 1 {
			close(deleting)
			<-going
		}
		if n <= e.times {
			return e.before
		}
		return nil
	}), only(providers.OpDelete, func(context.Context, string) error {
		if replies--; replies >= 0 {
			return e.after
		}
		return nil
	}))
	return deleting, func() { close(going) }
}

// A caller deletes a copy while it is evicted, and that delete ends without a clear answer.
// The upload waits for its place: no other copy goes, and none is needed.
func TestUploadWaitsForADeleteOfACaller(t *testing.T) {
	for name, end := range unclearEnds {
		for _, others := range []int{0, 2} {
			if castest.Thorough(1, 0) == 0 && !(end.quick && others == 2) {
				continue
			}
			t.Run(fmt.Sprintf("%s, and %d other copies", name, others), func(t *testing.T) {
				inRoom(t, int64(others+1), func(t *testing.T, w *world, r *replicator.Replicator) {
					first, rest := w.fill(t, r, others)
					if !end.fresh {
						time.Sleep(settling)
					}
					deleting, goOn := end.hold(w.depot)
					made := w.asks(t, r, "one more")
					<-deleting
					q := want(first.Digest)
					q.OperationID = "removal"
					if _, err := r.Remove(t.Context(), q); err != nil {
						t.Fatal(err)
					}
					goOn()
					if err := <-made; err != nil {
						t.Errorf("the upload: %v", err)
					}
					time.Sleep(settling)
					w.wantOnlyGone(t, first, rest)
				})
			})
		}
	}
}

// fill makes a copy, and others after it.
func (w *world) fill(t *testing.T, r *replicator.Replicator, others int) (first ledger.Copy, rest []ledger.Copy) {
	t.Helper()
	first = ensure(t, r, want(w.put(t, "first", "a.txt")))
	for i := range others {
		time.Sleep(time.Second)
		rest = append(rest, ensure(t, r, want(w.put(t, fmt.Sprint("other ", i), "a.txt"))))
	}
	return first, rest
}

// asks asks for a new copy of a text. The result comes over the channel.
func (w *world) asks(t *testing.T, r *replicator.Replicator, text string) <-chan error {
	t.Helper()
	q, made := want(w.put(t, text, "a.txt")), make(chan error, 1)
	go func() { _, _, err := r.Ensure(t.Context(), q); made <- err }()
	return made
}

// wantOnlyGone fails the test unless a copy is deleted, and the others are ready.
func (w *world) wantOnlyGone(t *testing.T, gone ledger.Copy, others []ledger.Copy) {
	t.Helper()
	if _, err := w.ledger.Copy(t.Context(), gone.Key); !errors.Is(err, ledger.ErrNotFound) || slices.Contains(w.depot.fileIDs(), gone.FileID) {
		t.Errorf("the copy: error %v; there are %v", err, w.depot.fileIDs())
	}
	for i, c := range others {
		if now := w.row(t, c.Key); now.State != ledger.StateReady || now.FileID != c.FileID {
			t.Errorf("the other copy %d is %s", i, now.State)
		}
	}
}

// A gateway is killed during the delete of a caller. The next one waits for that place, and
// evicts no other copy.
func TestUploadWaitsForTheDeleteOfADeadGateway(t *testing.T) {
	inRoom(t, 3, func(t *testing.T, w *world, r *replicator.Replicator) {
		first, rest := w.fill(t, r, 2)
		time.Sleep(settling)
		if _, won, err := w.ledger.Change(t.Context(), ledger.Delete(first.Key, "removal", 30*time.Second)); err != nil || !won {
			t.Fatal(won, err)
		}
		if err := <-w.asks(t, r, "one more"); err != nil {
			t.Error(err)
		}
		w.wantOnlyGone(t, first, rest)
	})
}

// Copies are not evicted, and a caller's delete makes room.
func TestUploadWaitsForADeleteWithoutEvictions(t *testing.T) {
	inRoom(t, 1, func(t *testing.T, w *world, r *replicator.Replicator) {
		still := w.replicator(t, func(o *replicator.Options) { o.NoEviction, o.PollInterval = true, 15*time.Second })
		first, _ := w.fill(t, r, 0)
		time.Sleep(settling)
		deleting, goOn := w.depot.holdDelete()
		removed := make(chan error, 1)
		q := want(first.Digest)
		q.OperationID = "removal"
		go func() { _, err := still.Remove(t.Context(), q); removed <- err }()
		<-deleting
		made := w.asks(t, still, "one more")
		time.Sleep(time.Second)
		goOn()
		if err := <-removed; err != nil {
			t.Error(err)
		}
		if err := <-made; err != nil {
			t.Error(err)
		}
	})
}

// A delete that the provider refuses again and again holds up no upload for long: another
// copy goes. Without another one the upload waits, and the error names the delete.
func TestUploadPassesOverADeleteThatFails(t *testing.T) {
	for _, others := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d other copies", others), func(t *testing.T) {
			inRoom(t, int64(others+1), func(t *testing.T, w *world, r *replicator.Replicator) {
				first, rest := w.fill(t, r, others)
				time.Sleep(settling)
				w.depot.hook(only(providers.OpDelete, func(_ context.Context, id string) error {
					if id == first.FileID {
						return refusedDelete(500, providers.KindTransient)
					}
					return nil
				}), nil)
				q := want(first.Digest)
				q.OperationID = "removal"
				if _, err := r.Remove(t.Context(), q); err != nil {
					t.Fatal(err)
				}
				more := want(w.put(t, "one more", "a.txt"))
				if _, err := r.Begin(t.Context(), more); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Second)
				if others == 0 {
					if c, err := r.Copy(t.Context(), more); err != nil || c.State != ledger.StatePending || c.Error.Op != providers.OpDelete || c.Error.Code == providers.CodeAccountFull {
						t.Errorf("the copy is %+v, error %v", c, err)
					}
					w.depot.hook(nil, nil)
					time.Sleep(2 * time.Minute)
				}
				if c, err := r.Copy(t.Context(), more); err != nil || c.State != ledger.StateReady {
					t.Errorf("the copy is %s, error %v", c.State, err)
				}
				if n := w.countEvicted(t, rest); n != min(others, 1) {
					t.Errorf("%d copies were evicted", n)
				}
			})
		})
	}
}

// An eviction whose delete never gets a clear answer doesn't block uploads for ever.
func TestUnclearEvictionIsPassedOver(t *testing.T) {
	inRoom(t, 3, func(t *testing.T, w *world, r *replicator.Replicator) {
		first, rest := w.fill(t, r, 2)
		w.depot.hook(only(providers.OpDelete, func(_ context.Context, id string) error {
			if id == first.FileID {
				return refusedDelete(504, providers.KindTransient)
			}
			return nil
		}), nil)
		q := want(w.put(t, "one more", "a.txt"))
		if _, err := r.Begin(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the copy is ready", func() bool {
			time.Sleep(10 * time.Second)
			c, err := r.Copy(t.Context(), q)
			return err == nil && c.State == ledger.StateReady
		})
		if n := w.countEvicted(t, rest); n != 1 {
			t.Errorf("%d other copies were evicted", n)
		}
	})
}

// The place of an evicted file that the list still had is taken by another client. Then the
// upload that waited for it evicts a copy, and is no failure.
func TestPlaceOfADeletedFileIsTaken(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.fill(t, r, 2)
		refusal := fail(providers.OpUpload, providers.KindQuota, "full", nil)
		refusal.TooMany = true
		w.depot.change(func(d *depot) { d.room, d.refusal, d.deleting = 3, refusal, 5*time.Second })
		sent, taken := 0, false
		w.depot.hook(only(providers.OpUpload, func(_ context.Context, name string) error {
			switch {
			case strings.HasPrefix(name, "bad"):
				if sent++; sent == 2 { // after the eviction
					return fail(providers.OpUpload, providers.KindPermanent, "bad", nil)
				}
			case len(w.depot.fileIDs()) < 3 && !taken:
				taken = true
				w.depot.store("quick", "image", []byte("foreign"))
			}
			return nil
		}), nil)
		if _, _, err := r.Ensure(t.Context(), want(w.put(t, "bad", "bad.txt"))); err == nil {
			t.Fatal("no failure")
		}
		if err := <-w.asks(t, r, "one more"); err != nil {
			t.Error(err)
		}
		if !taken || len(w.depot.fileIDs()) != 3 {
			t.Errorf("taken %t; there are %v", taken, w.depot.fileIDs())
		}
	})
}

// endingLedger runs a function before the deletes of an account are read.
type endingLedger struct {
	ledger.Store
	before func()
}

func (l endingLedger) Deletes(ctx context.Context, account string) ([]ledger.Copy, error) {
	l.before()
	return l.Store.Deletes(ctx, account)
}

// A delete ends after an upload has counted the files of the account, and before it reads
// the deletes that have begun. The upload takes that place: it evicts no copy, and is not
// told that the account is full.
func TestDeleteEndsAfterTheCount(t *testing.T) {
	t.Parallel()
	for _, others := range []int{0, 1} {
		t.Run(fmt.Sprintf("%d other copies", others), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.depot.description.MaxFiles = int64(others + 1)
			inner := w.ledger
			var deleting ledger.Copy
			w.ledger = endingLedger{inner, sync.OnceFunc(func() {
				if err := w.depot.Delete(t.Context(), deleting.FileID); err != nil {
					t.Error(err)
				}
				if _, won, err := inner.Change(t.Context(), ledger.FinishDelete(deleting.Key, deleting.Fence, ledger.StateDeleted, 0)); err != nil || !won {
					t.Errorf("won %v, error %v", won, err)
				}
			})}
			r := w.replicator(t, nil)
			first := ensure(t, r, want(w.put(t, "first", "a.txt")))
			var rest []ledger.Copy
			for i := range others {
				rest = append(rest, ensure(t, r, want(w.put(t, fmt.Sprint("other ", i), "a.txt"))))
			}
			var err error
			if deleting, _, err = inner.Change(t.Context(), ledger.Delete(first.Key, "removal", time.Hour)); err != nil {
				t.Fatal(err)
			}
			ensure(t, r, want(w.put(t, "one more", "a.txt")))
			w.wantOnlyGone(t, first, rest)
		})
	}
}
