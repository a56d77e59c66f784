package replicator_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// expiring fills a depot that takes ten files, and keeps each for 20 s: five copies a, then
// five copies b. The copies a are used once more and expire; the depot still has their
// files if kept.
func expiring(t *testing.T, w *world, r *replicator.Replicator, kept bool) (a, b []ledger.Copy) {
	t.Helper()
	w.depot.change(func(d *depot) { d.life = 20 * time.Second })
	began := time.Now()
	for i := range 5 {
		a = append(a, ensure(t, r, want(w.put(t, fmt.Sprint("early ", i), "a.txt"))))
	}
	time.Sleep(time.Until(began.Add(8 * time.Second)))
	for i := range 5 {
		b = append(b, ensure(t, r, want(w.put(t, fmt.Sprint("late ", i), "a.txt"))))
	}
	time.Sleep(time.Until(began.Add(11 * time.Second)))
	for _, c := range a {
		ensure(t, r, want(c.Digest))
	}
	time.Sleep(time.Until(began.Add(23 * time.Second)))
	if !kept {
		for _, c := range a {
			w.depot.forget(c.FileID)
		}
	}
	return a, b
}

// A copy that has expired makes room before one that is alive, whatever their last use, and
// whether the provider still has its file. Without evictions it does so, too.
func TestExpiredCopiesMakeRoom(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{false, true} {
		for _, off := range []bool{false, true} {
			t.Run(fmt.Sprintf("kept %v, evictions off %v", kept, off), func(t *testing.T) {
				inRoom(t, 10, func(t *testing.T, w *world, lru *replicator.Replicator) {
					r := lru
					if off {
						r = w.replicator(t, func(o *replicator.Options) { o.NoEviction, o.PollInterval = true, 15*time.Second })
					}
					a, b := expiring(t, w, r, kept)
					sent := w.depot.count(providers.OpUpload)
					for i := range 5 {
						w.depot.change(func(d *depot) { d.life = time.Hour })
						ensure(t, r, want(w.put(t, fmt.Sprint("one more ", i), "a.txt")))
						if n, alive := w.countEvicted(t, a), w.countEvicted(t, b); n != i+1 || alive != 0 {
							t.Fatalf("%d copies that have expired and %d others were evicted for %d", n, alive, i+1)
						}
					}
					if n := w.depot.count(providers.OpUpload) - sent; n != 5 {
						t.Errorf("%d uploads", n)
					}
					for _, c := range a {
						if row := w.row(t, c.Key); row.Error != nil || row.FileID != "" {
							t.Errorf("the row of an evicted copy is %+v", row)
						}
					}
					if !off {
						return
					}
					_, _, err := r.Ensure(t.Context(), want(w.put(t, "one too many", "a.txt")))
					fullError(t, err)
					if n := w.countEvicted(t, b); n != 0 {
						t.Errorf("%d copies that are alive were evicted", n)
					}
				})
			})
		}
	}
}

// A file that is younger than the settling time may turn up after a 404, but not once it
// has expired.
func TestExpiredYoungFileIsGone(t *testing.T) {
	inRoom(t, 1, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.change(func(d *depot) { d.life = settling / 2 })
		first := ensure(t, r, want(w.put(t, "first", "a.txt")))
		time.Sleep(settling/2 + time.Millisecond)
		w.depot.forget(first.FileID)
		began := time.Now()
		ensure(t, r, want(w.put(t, "second", "a.txt")))
		if row, took := w.row(t, first.Key), time.Since(began); row.State != ledger.StateEvicted || row.Error != nil || took > time.Second/2 {
			t.Errorf("after %v the first copy is %+v", took, row)
		}
	})
}

// A provider that says that it is full has no more room without the rows of expired copies
// whose files it deleted itself: one of the files that it has goes, and the body is sent twice.
func TestExpiredFilesThatAreGoneFreeNothing(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{false, true} {
		for name, unlisted := range map[string]bool{"listed": false, "unlisted": true, "the list fails": false} {
			t.Run(fmt.Sprintf("kept %v, %s", kept, name), func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
					w.depot.description.Purposes[0].Unlisted = unlisted
					if unlisted {
						w.depot.change(func(d *depot) { d.unlisted = time.Hour })
					}
					a, b := expiring(t, w, r, kept)
					refusal := fail(providers.OpUpload, providers.KindQuota, "full", nil)
					refusal.TooMany = true
					w.depot.change(func(d *depot) { d.room, d.refusal = len(d.files), refusal })
					if name == "the list fails" {
						w.depot.hook(times(1000, providers.OpList, fail(providers.OpList, providers.KindTransient, "no", nil)), nil)
					}
					sent := w.depot.count(providers.OpUpload)
					ensure(t, r, want(w.put(t, "one more", "a.txt")))
					expired, alive := 0, 1
					if kept && name == "listed" {
						expired, alive = 1, 0
					}
					if n, m, sends := w.countEvicted(t, a), w.countEvicted(t, b), w.depot.count(providers.OpUpload)-sent; n != expired || m != alive || sends != 2 {
						t.Errorf("%d copies that have expired and %d others were evicted, and the body was sent %d times", n, m, sends)
					}
				})
			})
		}
	}
}

// A copy that is renewed after an upload has chosen it stays, with its new file.
func TestRenewedCopyIsNotEvicted(t *testing.T) {
	inRoom(t, 2, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.change(func(d *depot) { d.life = time.Minute })
		first := ensure(t, r, want(w.put(t, "first", "a.txt")))
		time.Sleep(time.Second)
		second := ensure(t, r, want(w.put(t, "second", "a.txt")))
		time.Sleep(2 * time.Minute)
		var renewed ledger.Copy
		other := w.replicator(t, func(o *replicator.Options) { o.PollInterval = 15 * time.Second })
		meanwhile := meanwhileLedger{w.ledger, func(k ledger.Key) error {
			if k == first.Key && renewed.FileID == "" {
				renewed.FileID = "begun" // once
				renewed = ensure(t, other, want(first.Digest))
			}
			return nil
		}}
		mine := w.replicator(t, func(o *replicator.Options) { o.Ledger, o.PollInterval = meanwhile, 15*time.Second })
		ensure(t, mine, want(w.put(t, "one more", "a.txt")))
		if renewed.FileID == first.FileID || !slices.Contains(w.depot.fileIDs(), renewed.FileID) {
			t.Errorf("the renewed copy has the file %q, of %v", renewed.FileID, w.depot.fileIDs())
		}
		if a, b := w.row(t, first.Key), w.row(t, second.Key); a.State != ledger.StateReady || b.State != ledger.StateEvicted {
			t.Errorf("the renewed copy is %s, and the expired one %s", a.State, b.State)
		}
	})
}
