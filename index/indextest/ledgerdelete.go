package indextest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

var deleteCopyTests = []test{
	{"claims a row in every state, but not one that is being deleted", func(t *testing.T, x Index) {
		for i, s := range situations {
			if s.state == "" || s.state == ledger.StateDeleted {
				continue
			}
			w := wanted(t, i)
			s.arrange(t, x, w)
			before := current(t, x, w.Key, w.OperationID)
			got, won, err := x.Change(t.Context(), ledger.Delete(w.Key, w.OperationID+" deleted", long))
			if err != nil || won != (s.name != "deleting") {
				t.Errorf("%s: Delete: won %v, error %v", s.name, won, err)
			}
			if !won {
				same(t, s.name+": the row", got, before)
				asStored(t, x, got)
				continue
			}
			want := before
			want.State, want.Fence, want.OperationID = ledger.StateDeleting, before.Fence+1, w.OperationID+" deleted"
			want.Strays, want.LookAt = takenOver(before), time.Time{}
			if before.State == ledger.StateDeleting && !before.Evicting { // the first operation's
				want.OperationID, want.LaterDeletes = before.OperationID, []string{want.OperationID}
			}
			if before.State != ledger.StateDeleting {
				want.Error, want.Attempts = nil, 0 // of the upload
			}
			want.LeaseUntil, want.NextAttemptAt = got.LeaseUntil, got.LeaseUntil
			same(t, s.name+": the row", got, want)
			asStored(t, x, got)
			if got.LeaseUntil.Before(got.CreatedAt.Add(long)) || got.LeaseUntil.After(got.CreatedAt.Add(long+time.Hour)) {
				t.Errorf("created at %s, the lease of %v runs until %s", got.CreatedAt, long, got.LeaseUntil)
			}
		}
	}},
	{"keeps the operation where it is given none", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		makeReady(t, x, w, "1")
		if c := startDelete(t, x, w.Key, "", long); c.OperationID != w.OperationID {
			t.Errorf("the operation is %q", c.OperationID)
		}
	}},
	{"takes the row from an uploader", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		uploading := claim(t, x, w, long)
		deleting := startDelete(t, x, w.Key, "", long)
		same(t, "the strays: the upload may get through until its lease ends,", deleting.Strays, strayOf(uploading, uploading.LeaseUntil))
		got, held, err := x.Change(t.Context(), ledger.Complete(w.Key, uploading.Fence, file("1", providers.StatusReady, time.Time{})))
		if err != nil || held {
			t.Errorf("Complete: held %v, error %v", held, err)
		}
		same(t, "the row", got, deleting)
		finishDelete(t, x, deleting, ledger.StateDeleted)
		if c := claim(t, x, w, long); c.Fence != deleting.Fence+1 || len(c.Strays) != 1 || c.Attempts != 1 {
			t.Errorf("claimed after that: %+v", c)
		}
	}},
	{"is won by one of 64", func(t *testing.T, x Index) {
		c := makeReady(t, x, wanted(t, 0), "1")
		startDelete(t, x, c.Key, "", 0)
		var mu sync.Mutex
		winners := 0
		together(64, func(int) {
			got, won, err := x.Change(t.Context(), ledger.Delete(c.Key, "", long))
			if err != nil || got.Fence != c.Fence+2 {
				t.Errorf("Delete: %+v, error %v", got, err)
			}
			if won {
				mu.Lock()
				winners++
				mu.Unlock()
			}
		})
		if winners != 1 {
			t.Errorf("%d of 64 deletes were won", winners)
		}
	}},
	{"refuses an operation that can't be stored", func(t *testing.T, x Index) {
		c := makeReady(t, x, wanted(t, 0), "1")
		for _, text := range []string{"a\x00b", "\xff"} {
			_, _, err := x.Change(t.Context(), ledger.Delete(c.Key, text, long))
			refusedText(t, "Delete", err)
		}
		asStored(t, x, c)
	}},
	{"tells where there is no row", func(t *testing.T, x Index) {
		noRow(t, func(k ledger.Key) error { _, _, err := x.Change(t.Context(), ledger.Delete(k, "", long)); return err })
		c := makeReady(t, x, wanted(t, 0), "1")
		finishDelete(t, x, startDelete(t, x, c.Key, "", long), ledger.StateDeleted)
		_, _, err := x.Change(t.Context(), ledger.Delete(c.Key, "", long))
		noCopy(t, "Delete of a deleted copy", err)
	}},
}

// supersededDelete calls test with claims to delete that are outdated.
func supersededDelete(t *testing.T, x Index, test func(t *testing.T, c ledger.Copy)) {
	for i, s := range []struct {
		name string
		by   func(t *testing.T, w ledger.Wanted)
	}{
		{"another delete", func(t *testing.T, w ledger.Wanted) { startDelete(t, x, w.Key, "", long) }},
		{"another, finished", func(t *testing.T, w ledger.Wanted) {
			finishDelete(t, x, startDelete(t, x, w.Key, "", long), ledger.StateDeleted)
		}},
		{"another, finished, and an upload", func(t *testing.T, w ledger.Wanted) {
			finishDelete(t, x, startDelete(t, x, w.Key, "", long), ledger.StateDeleted)
			makeReady(t, x, w, "2")
		}},
	} {
		t.Run("superseded by "+s.name, func(t *testing.T) {
			w := wanted(t, i)
			makeReady(t, x, w, "1")
			c := startDelete(t, x, w.Key, "", 0)
			s.by(t, w)
			before := current(t, x, w.Key, w.OperationID)
			test(t, c)
			same(t, "the row", current(t, x, w.Key, w.OperationID), before)
		})
	}
}

var finishDeleteTests = []test{
	{"leaves the row evicted", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		complete(t, x, claim(t, x, w, long), file("1", providers.StatusReady, later(long)))
		use(t, x, map[ledger.Key]time.Time{w.Key: later(0)})
		c := startEviction(t, x, current(t, x, w.Key, w.OperationID))
		c, _, err := x.Change(t.Context(), ledger.FailDelete(w.Key, c.Fence, ledger.Failure{State: ledger.StateDeleting, Error: trouble(), Again: true}))
		if err != nil {
			t.Fatal(err)
		}
		finishDelete(t, x, c, ledger.StateEvicted)
		want := c
		want.State, want.FileID, want.RemoteName, want.ExpiresAt, want.Error = ledger.StateEvicted, "", "", time.Time{}, nil
		want.Evicting = false
		want.UploadedAt = time.Time{}
		want.NextAttemptAt, want.LeaseUntil = time.Time{}, time.Time{}
		same(t, "the row", current(t, x, w.Key, w.OperationID), want)
		all, err := x.Copies(t.Context(), w.Digest)
		if err != nil || len(all) != 1 {
			t.Errorf("there are %+v, error %v", all, err)
		}
	}},
	{"hides a row that is deleted", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		makeReady(t, x, w, "1")
		c := startDelete(t, x, w.Key, "", long)
		finishDelete(t, x, c, ledger.StateDeleted)
		_, err := x.Copy(t.Context(), w.Key)
		noCopy(t, "Copy", err)
		if all, err := x.Copies(t.Context(), w.Digest); err != nil || len(all) != 0 {
			t.Errorf("Copies: %+v, error %v", all, err)
		}
		if all, err := x.CopiesAt(t.Context(), provider, ledger.Key{}, 10); err != nil || len(all) != 0 {
			t.Errorf("CopiesAt: %+v, error %v", all, err)
		}
		if usage, err := x.CopyUsage(t.Context(), account); err != nil || len(usage) != 0 {
			t.Errorf("CopyUsage: %+v, error %v", usage, err)
		}
		if got := current(t, x, w.Key, w.OperationID); got.State != ledger.StateDeleted || got.FileID != "" || got.Fence != c.Fence {
			t.Errorf("its operation leads to %+v", got)
		}
	}},
	{"waits until all strays have settled", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		claim(t, x, w, time.Hour)
		c := startDelete(t, x, w.Key, "", long)
		finish := func() (ledger.Copy, bool) {
			t.Helper()
			got, held, err := x.Change(t.Context(), ledger.FinishDelete(w.Key, c.Fence, ledger.StateDeleted, 30*time.Minute))
			if err != nil {
				t.Fatalf("FinishDelete: %v", err)
			}
			return got, held
		}
		age(t, x, w.Key, 89*time.Minute)
		before := current(t, x, w.Key, w.OperationID)
		if got, held := finish(); held {
			t.Errorf("FinishDelete was held before the stray had settled: %+v", got)
		}
		same(t, "the row", current(t, x, w.Key, w.OperationID), before)
		age(t, x, w.Key, 2*time.Minute)
		got, held := finish()
		if !held || got.State != ledger.StateDeleted || len(got.Strays) != 1 || time.Until(got.LookAt) < 20*time.Minute {
			t.Errorf("FinishDelete was held %v, and left %+v", held, got)
		}
	}},
	{"waits until files that were given up are gone", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		lose(t, x, makeReady(t, x, w, "1"), 3, long)
		c := startDelete(t, x, w.Key, "", long)
		if got, held, err := x.Change(t.Context(), ledger.FinishDelete(w.Key, c.Fence, ledger.StateDeleted, -2*long)); err != nil || held {
			t.Errorf("FinishDelete: held %v, error %v, the row is %+v", held, err, got)
		}
		noteLook(t, x, w.Key, 0, ledger.Look{Gone: []string{"1"}})
		finishDelete(t, x, c, ledger.StateDeleted)
	}},
	{"makes a row evicted although there are strays", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		claim(t, x, w, 0)
		lose(t, x, makeReady(t, x, w, "1"), 3, long)
		c := startEviction(t, x, makeReady(t, x, w, "2"))
		got, held, err := x.Change(t.Context(), ledger.FinishDelete(w.Key, c.Fence, ledger.StateEvicted, long))
		if err != nil || !held || got.State != ledger.StateEvicted || got.FileID != "" {
			t.Errorf("FinishDelete: held %v, error %v, the row is %+v", held, err, got)
		}
		same(t, "the strays", got.Strays, c.Strays)
		if due := dueKeys(t, x, 1000, w.Account); !slices.Contains(due, w.Key) {
			t.Error("the strays are not looked for")
		}
	}},
	{"may be repeated", func(t *testing.T, x Index) {
		for i, to := range []ledger.State{ledger.StateDeleted, ledger.StateEvicted} {
			w := wanted(t, i)
			ready := makeReady(t, x, w, "1")
			var c ledger.Copy
			if to == ledger.StateEvicted {
				c = startEviction(t, x, ready)
			} else {
				c = startDelete(t, x, w.Key, "", long)
			}
			finishDelete(t, x, c, to)
			before := current(t, x, w.Key, w.OperationID)
			finishDelete(t, x, c, to)
			same(t, "the row", current(t, x, w.Key, w.OperationID), before)
		}
	}},
	{"reports false to zombies, and changes nothing", func(t *testing.T, x Index) {
		supersededDelete(t, x, func(t *testing.T, c ledger.Copy) {
			for _, to := range []ledger.State{ledger.StateDeleted, ledger.StateEvicted} {
				if _, held, err := x.Change(t.Context(), ledger.FinishDelete(c.Key, c.Fence, to, 0)); err != nil || held {
					t.Errorf("FinishDelete: held %v, error %v", held, err)
				}
			}
		})
	}},
	{"leaves an evicted copy that a caller deletes to that delete, without its file", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		c := startEviction(t, x, makeReady(t, x, w, "1"))
		row, repeated, err := x.Change(t.Context(), ledger.RepeatDelete(w.Key, "later"))
		if err != nil || !repeated {
			t.Fatalf("RepeatDelete: %v, error %v", repeated, err)
		}
		finishDelete(t, x, c, ledger.StateEvicted)
		row.FileID, row.RemoteName, row.UploadedAt = "", "", time.Time{}
		same(t, "the row", current(t, x, w.Key, "later"), row)
		finishDelete(t, x, c, ledger.StateDeleted)
	}},
	{"keeps the operations of all that asked for the delete", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		c := startDelete(t, x, makeReady(t, x, w, "1").Key, "first", long)
		for _, id := range []string{"second", "third", "second", "first"} {
			if _, done, err := x.Change(t.Context(), ledger.RepeatDelete(w.Key, id)); err != nil || !done {
				t.Fatalf("RepeatDelete: done %v, error %v", done, err)
			}
		}
		finishDelete(t, x, c, ledger.StateDeleted)
		same(t, "the later operations", current(t, x, w.Key, "first").LaterDeletes, []string{"second", "third"})
		same(t, "the later operations of a new copy", claim(t, x, w, long).LaterDeletes, []string(nil))
	}},
	{"reports false where nothing is being deleted", func(t *testing.T, x Index) {
		c := makeReady(t, x, wanted(t, 0), "1")
		if _, held, err := x.Change(t.Context(), ledger.FinishDelete(c.Key, c.Fence, ledger.StateDeleted, 0)); err != nil || held {
			t.Errorf("FinishDelete: held %v, error %v", held, err)
		}
		asStored(t, x, c)
	}},
	{"refuses other states", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		makeReady(t, x, w, "1")
		c := startDelete(t, x, w.Key, "", long)
		for _, to := range []ledger.State{"", ledger.StatePending, ledger.StateReady, ledger.StateLost, ledger.StateDeleting} {
			_, _, err := x.Change(t.Context(), ledger.FinishDelete(w.Key, c.Fence, to, 0))
			refused(t, "FinishDelete to "+string(to), err)
		}
		asStored(t, x, c)
	}},
	{"tells where there is no row", func(t *testing.T, x Index) {
		noRow(t, func(k ledger.Key) error {
			_, _, err := x.Change(t.Context(), ledger.FinishDelete(k, 1, ledger.StateDeleted, 0))
			return err
		})
	}},
}

var failDeleteTests = []test{
	{"records the failure, and ends the lease", func(t *testing.T, x Index) {
		for i, f := range []ledger.Failure{
			{State: ledger.StateDeleting, Error: trouble(), Again: true, After: long},
			{State: ledger.StateDeleting, Error: trouble(), Again: true},
			{State: ledger.StateDeleting},
			{Error: trouble(), After: long},
		} {
			w := wanted(t, i)
			makeReady(t, x, w, "1")
			c := startDelete(t, x, w.Key, "", long)
			got, held, err := x.Change(t.Context(), ledger.FailDelete(w.Key, c.Fence, f))
			if err != nil || !held {
				t.Fatalf("FailDelete: held %v, error %v", held, err)
			}
			want := c
			want.Error, want.LeaseUntil, want.NextAttemptAt = f.Error, time.Time{}, time.Time{}
			if f.Again {
				want.NextAttemptAt = c.LeaseUntil.Add(f.After - long)
			}
			sameCopy(t, "the row", got, want)
			asStored(t, x, got)
		}
	}},
	{"reports false to zombies, and changes nothing", func(t *testing.T, x Index) {
		supersededDelete(t, x, func(t *testing.T, c ledger.Copy) {
			got, held, err := x.Change(t.Context(), ledger.FailDelete(c.Key, c.Fence, ledger.Failure{State: ledger.StateDeleting, Error: trouble()}))
			if err != nil || held {
				t.Errorf("FailDelete: held %v, error %v", held, err)
			}
			asStored(t, x, got)
		})
	}},
	{"refuses states that a failed delete can't lead to", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		makeReady(t, x, w, "1")
		c := startDelete(t, x, w.Key, "", long)
		for _, state := range []ledger.State{ledger.StatePending, ledger.StateReady, ledger.StateFailed, ledger.StateDeleted} {
			_, _, err := x.Change(t.Context(), ledger.FailDelete(w.Key, c.Fence, ledger.Failure{State: state}))
			refused(t, "FailDelete to "+string(state), err)
		}
		asStored(t, x, c)
	}},
	{"tells where there is no row", func(t *testing.T, x Index) {
		noRow(t, func(k ledger.Key) error {
			_, _, err := x.Change(t.Context(), ledger.FailDelete(k, 1, ledger.Failure{State: ledger.StateDeleting}))
			return err
		})
	}},
}

// use records uses and fails the test where that fails.
func use(t testing.TB, x Index, uses map[ledger.Key]time.Time) {
	t.Helper()
	if err := x.UseCopies(t.Context(), uses); err != nil {
		t.Fatalf("UseCopies: %v", err)
	}
}
