package replicator

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"casgate/providers/ledger"
)

// usedCopies is a ledger that keeps only the times of use.
type usedCopies struct {
	ledger.Store
	used   map[ledger.Key]time.Time
	writes int // of rows
	err    error
}

func (u *usedCopies) UseCopies(_ context.Context, uses map[ledger.Key]time.Time) error {
	if u.err != nil {
		return u.err
	}
	u.writes += len(uses)
	maps.Copy(u.used, uses)
	return nil
}

// The first use of a copy is written soon, those after it once a period, and none is lost by an error.
func TestUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &usedCopies{used: make(map[ledger.Key]time.Time)}
		u, k := newUses(), ledger.Key{Account: "a"}
		use := func() time.Time {
			time.Sleep(time.Millisecond)
			u.note(k)
			return time.Now()
		}
		must := func(what string, want time.Time, writes int) {
			t.Helper()
			if !store.used[k].Equal(want) || store.writes != writes {
				t.Errorf("%s: the ledger has %v after %d writes, want %v after %d", what, store.used[k], store.writes, want, writes)
			}
		}
		flush := func(f func(context.Context, ledger.Store) error, wantErr error) {
			t.Helper()
			if err := f(t.Context(), store); !errors.Is(err, wantErr) {
				t.Errorf("error %v, want %v", err, wantErr)
			}
		}

		store.err = errors.New("the index is away")
		use()
		flush(u.flushFirst, store.err)
		first := use()
		if !u.of(k).Equal(first) {
			t.Errorf("the last use was at %v, want %v", u.of(k), first)
		}
		store.err = nil
		flush(u.flushFirst, nil)
		must("the first use", first, 1)

		second := use()
		flush(u.flushFirst, nil)
		must("the second use", first, 1)
		if !u.of(k).Equal(second) {
			t.Errorf("the last use was at %v, want %v", u.of(k), second)
		}
		flush(u.flush, nil)
		must("the end of the period", second, 2)

		// A copy that is used all the time has one write a period.
		third := use()
		flush(u.flushFirst, nil)
		must("the next period", second, 2)
		flush(u.flush, nil)
		must("its end", third, 3)

		flush(u.flush, nil)
		fourth := use() // after a period without a use
		flush(u.flushFirst, nil)
		must("after a pause", fourth, 4)

		again := use()
		store.err = errors.New("the index is away")
		flush(u.flush, store.err)
		store.err = nil
		flush(u.flushFirst, nil)
		must("after an error", again, 5)
	})
}
