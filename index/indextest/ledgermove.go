package indextest

import (
	"errors"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

const newAccount = "kimi:team@api.example"

// moveAccount moves the rows of account to newAccount.
func moveAccount(t testing.TB, x Index, dry bool) ledger.Moved {
	t.Helper()
	moved, err := ledger.MoveAccount(t.Context(), x, ledger.AccountMove{Provider: provider, From: account, To: newAccount, DryRun: dry})
	if err != nil {
		t.Fatal(err)
	}
	return moved
}

// movedTo is a key at newAccount.
func movedTo(k ledger.Key) ledger.Key {
	k.Account = newAccount
	return k
}

var moveAccountTests = []test{
	{"gives the files to the new account", func(t *testing.T, x Index) {
		ready := complete(t, x, claim(t, x, wanted(t, 0), long), file("1", providers.StatusReady, later(long)))
		entered := enter(t, x, wanted(t, 1), "2")
		deleting := makeReady(t, x, wanted(t, 2), "3")
		startDelete(t, x, deleting.Key, "a delete", -long)
		request(t, x, wanted(t, 4))
		for _, dry := range []bool{true, false} {
			moved := moveAccount(t, x, dry)
			if len(moved.InWork)+len(moved.Conflicts) > 0 || len(moved.Copies) != 4 {
				t.Fatalf("dry %v: %+v", dry, moved)
			}
			_, err := x.Copy(t.Context(), movedTo(ready.Key))
			if gone := errors.Is(err, ledger.ErrNotFound); gone != dry {
				t.Fatalf("dry %v: the row at the new account: %v", dry, err)
			}
		}
		got, err := x.Copy(t.Context(), movedTo(ready.Key))
		want := ready
		want.Key, want.Fence = movedTo(ready.Key), ready.Fence+1
		if err != nil {
			t.Fatal(err)
		}
		sameCopy(t, "the ready copy", got, want)
		if got, err := x.Copy(t.Context(), movedTo(entered.Key)); err != nil || got.State != ledger.StateUnverified || got.FileID != "2" {
			t.Errorf("the entered copy is %+v, error %v", got, err)
		}
		due, err := x.DueCopies(t.Context(), []string{newAccount}, 10)
		if err != nil || len(due) != 2 {
			t.Errorf("due are %+v, error %v; want the delete and the request", due, err)
		}
		for _, k := range []ledger.Key{ready.Key, entered.Key, deleting.Key, wanted(t, 4).Key} {
			_, err := x.Copy(t.Context(), k)
			noCopy(t, "the old row", err)
		}
		if again := moveAccount(t, x, false); len(again.Copies)+len(again.InWork)+len(again.Conflicts) > 0 {
			t.Errorf("a second time: %+v", again)
		}
	}},
	{"forgets rows without a file", func(t *testing.T, x Index) {
		c := makeReady(t, x, wanted(t, 0), "1")
		got, _ := evict(t, x, wanted(t, 999).Key, "")
		finishDelete(t, x, got, ledger.StateEvicted)
		if moved := moveAccount(t, x, false); len(moved.Copies) > 0 || len(moved.Dropped) != 1 {
			t.Errorf("%+v", moved)
		}
		_, err := x.Copy(t.Context(), c.Key)
		noCopy(t, "the old row", err)
	}},
	{"leaves rows in work, and copies with another file", func(t *testing.T, x Index) {
		working := claim(t, x, wanted(t, 0), long)
		both := makeReady(t, x, wanted(t, 1), "1")
		w := wanted(t, 1)
		w.Account = newAccount
		makeReady(t, x, w, "2")
		moved := moveAccount(t, x, false)
		if len(moved.Copies) > 0 || len(moved.InWork) != 1 || moved.InWork[0].Key != working.Key || len(moved.Conflicts) != 1 || moved.Conflicts[0].Key != both.Key {
			t.Errorf("%+v", moved)
		}
		for _, k := range []ledger.Key{working.Key, both.Key} {
			if _, err := x.Copy(t.Context(), k); err != nil {
				t.Error(err)
			}
		}
	}},
	{"continues after an interruption", func(t *testing.T, x Index) {
		c := makeReady(t, x, wanted(t, 0), "1")
		if _, taken, err := x.Change(t.Context(), ledger.Take(movedTo(c.Key), c)); err != nil || !taken {
			t.Fatalf("taken %v, error %v", taken, err)
		}
		if moved := moveAccount(t, x, false); len(moved.Copies) != 1 {
			t.Errorf("%+v", moved)
		}
		_, err := x.Copy(t.Context(), c.Key)
		noCopy(t, "the old row", err)
	}},
	{"takes over what a dead gateway left", func(t *testing.T, x Index) {
		claim(t, x, wanted(t, 0), time.Microsecond)
		age(t, x, wanted(t, 0).Key, time.Hour)
		if moved := moveAccount(t, x, false); len(moved.Copies) != 1 {
			t.Fatalf("%+v", moved)
		}
		got, err := x.Copy(t.Context(), movedTo(wanted(t, 0).Key))
		if err != nil || got.State != ledger.StatePending || len(got.MayTurnUp()) != 1 || got.NextAttemptAt.IsZero() {
			t.Errorf("the row is %+v, error %v", got, err)
		}
	}},
}
