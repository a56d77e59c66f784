package indextest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// EvictLeastUsed claims the copy that was used least recently for its deletion, as
// ledger.Evict does; see ledger.Victims. It reports won as false if there is none.
func EvictLeastUsed(ctx context.Context, x ledger.Store, e ledger.Eviction, lease time.Duration) (c ledger.Copy, won bool, err error) {
	for {
		victims, found, err := ledger.Victims(ctx, x, e)
		if err != nil || !found {
			return ledger.Copy{}, false, err
		}
		c, won, err := x.Change(ctx, ledger.Evict(victims[0], lease))
		if won || (err != nil && !errors.Is(err, ledger.ErrNotFound)) {
			return c, won, err
		}
		// Another client has changed the copy in between.
	}
}

// evict evicts and fails the test where that fails.
func evict(t testing.TB, x Index, room ledger.Key, purpose string) (c ledger.Copy, won bool) {
	t.Helper()
	c, won, err := EvictLeastUsed(t.Context(), x, ledger.Eviction{Room: room, Purpose: purpose}, long)
	if err != nil {
		t.Fatalf("EvictLeastUsed: %v", err)
	}
	return c, won
}

var evictCopyTests = []test{
	{"takes the copy used least recently", func(t *testing.T, x Index) {
		// Ready long ago, and used at these times before now; 0: never.
		var keys []ledger.Key
		var want []int
		for i, c := range []struct{ ready, used time.Duration }{
			0: {40 * time.Hour, 2 * time.Hour},
			1: {10 * time.Hour, 0},
			2: {30 * time.Hour, 20 * time.Hour},
			3: {50 * time.Hour, 1 * time.Hour},
			4: {25 * time.Hour, 0},
			5: {15 * time.Hour, 60 * time.Hour}, // in an earlier life
		} {
			ready := makeReady(t, x, wanted(t, i), "1")
			keys = append(keys, ready.Key)
			if c.used > 0 {
				use(t, x, map[ledger.Key]time.Time{ready.Key: ready.ReadyAt.Add(c.ready - c.used)})
			}
			age(t, x, ready.Key, c.ready)
		}
		want = []int{4, 2, 5, 1, 0, 3}
		for _, i := range want {
			c, won := evict(t, x, wanted(t, 999).Key, "")
			if !won || c.Key != keys[i] {
				t.Fatalf("EvictLeastUsed took %d, won %v; want %d", slices.Index(keys, c.Key), won, i)
			}
		}
		if c, won := evict(t, x, wanted(t, 999).Key, ""); won {
			t.Errorf("EvictLeastUsed took %+v after all", c)
		}
	}},
	{"takes copies that have expired first", func(t *testing.T, x Index) {
		// Each is ready for so long and expires so long after now; 0: never.
		var keys []ledger.Key
		for i, c := range []struct{ ready, expires time.Duration }{
			0: {100 * time.Hour, 0},
			1: {90 * time.Hour, 10 * time.Hour},
			2: {20 * time.Hour, -2 * time.Hour},
			3: {10 * time.Hour, -5 * time.Hour},
			4: {80 * time.Hour, -4 * time.Hour},
		} {
			w := wanted(t, i)
			if i == 4 {
				w.Purpose = "batch"
			}
			var expires time.Time
			if c.expires != 0 {
				expires = later(c.ready + c.expires)
			}
			ready := complete(t, x, claim(t, x, w, long), file("1", providers.StatusReady, expires))
			keys = append(keys, ready.Key)
			age(t, x, ready.Key, c.ready)
		}
		use(t, x, map[ledger.Key]time.Time{keys[3]: later(-6 * time.Hour), keys[2]: later(-3 * time.Hour)})
		expired := func(purpose string, limit int, want ...int) {
			t.Helper()
			got, err := x.Expired(t.Context(), wanted(t, 999).Key, purpose, limit)
			if err != nil || !slices.EqualFunc(got, want, func(c ledger.Copy, i int) bool { return c.Key == keys[i] }) {
				t.Errorf("Expired of purpose %q, at most %d: %+v, error %v; want %v", purpose, limit, got, err, want)
			}
		}
		expired("", 10, 3, 4, 2)
		expired("", 2, 3, 4)
		expired("batch", 10, 4)
		if got, err := x.Expired(t.Context(), keys[3], "file-extract", 10); err != nil || len(got) != 1 || got[0].Key != keys[2] {
			t.Errorf("Expired has the copy to make room for: %+v, error %v", got, err)
		}
		for _, i := range []int{3, 4, 2, 0, 1} {
			c, won := evict(t, x, wanted(t, 999).Key, "")
			if !won || c.Key != keys[i] {
				t.Fatalf("EvictLeastUsed took %d, won %v; want %d", slices.Index(keys, c.Key), won, i)
			}
		}
	}},
	{"leaves a copy that was renewed after it was found", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		complete(t, x, claim(t, x, w, long), file("1", providers.StatusReady, later(-time.Hour)))
		found, err := x.Expired(t.Context(), wanted(t, 999).Key, "", 10)
		if err != nil || len(found) != 1 {
			t.Fatalf("Expired: %+v, error %v", found, err)
		}
		stays := func(when string) {
			t.Helper()
			before, err := x.Copy(t.Context(), w.Key)
			if err != nil {
				t.Fatal(err)
			}
			c, won, err := x.Change(t.Context(), ledger.Evict(found[0], long))
			if err != nil || won {
				t.Fatalf("%s: evicted %v, error %v", when, won, err)
			}
			same(t, "the row", c, before)
		}
		renewing := claim(t, x, w, long)
		stays("while it is renewed")
		complete(t, x, renewing, file("2", providers.StatusReady, later(long)))
		stays("after it was renewed")
		if c, won := evict(t, x, wanted(t, 999).Key, ""); !won || c.FileID != "2" {
			t.Errorf("EvictLeastUsed took %+v, won %v", c, won)
		}
	}},
	{"claims it as Delete does", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		c := complete(t, x, claim(t, x, w, long), file("1", providers.StatusReady, later(long)))
		got, won := evict(t, x, wanted(t, 1).Key, "")
		want := c
		want.State, want.Fence, want.Evicting = ledger.StateDeleting, c.Fence+1, true
		want.LeaseUntil, want.NextAttemptAt = got.LeaseUntil, got.LeaseUntil
		if !won || got.LeaseUntil.Before(c.CreatedAt.Add(long)) {
			t.Errorf("won %v, the lease runs until %s", won, got.LeaseUntil)
		}
		same(t, "the row", got, want)
		asStored(t, x, got)
		if _, won, err := x.Change(t.Context(), ledger.Delete(w.Key, "", long)); err != nil || won {
			t.Errorf("Delete after that: won %v, error %v", won, err)
		}
		finishDelete(t, x, got, ledger.StateEvicted)
	}},
	{"never takes the copy to make room for, nor those of another account or purpose", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		makeReady(t, x, w, "1")
		elsewhere := wanted(t, 1)
		elsewhere.Account = "another"
		makeReady(t, x, elsewhere, "2")
		if c, won := evict(t, x, w.Key, ""); won {
			t.Errorf("EvictLeastUsed took %+v", c)
		}
		batch := wanted(t, 2)
		batch.Purpose = "batch"
		makeReady(t, x, batch, "3")
		if c, won := evict(t, x, w.Key, w.Purpose); won {
			t.Errorf("EvictLeastUsed took %+v", c)
		}
		if c, won := evict(t, x, w.Key, "batch"); !won || c.Key != batch.Key {
			t.Errorf("EvictLeastUsed took %+v, won %v; want %s", c, won, batch.Key)
		}
		sibling := w
		sibling.Extension = ".txt"
		makeReady(t, x, sibling, "4")
		if c, won := evict(t, x, w.Key, w.Purpose); !won || c.Key != sibling.Key {
			t.Errorf("EvictLeastUsed took %+v, won %v; want %s", c, won, sibling.Key)
		}
	}},
	{"takes ready copies only", func(t *testing.T, x Index) {
		for i, s := range situations {
			if s.state != ledger.StateReady {
				s.arrange(t, x, wanted(t, i))
			}
		}
		if c, won := evict(t, x, wanted(t, 999).Key, ""); won {
			t.Errorf("EvictLeastUsed took %+v", c)
		}
	}},
	{"gives each to one", func(t *testing.T, x Index) {
		const copies = 20
		for i := range copies {
			makeReady(t, x, wanted(t, i), "1")
		}
		var mu sync.Mutex
		taken := map[ledger.Key]int{}
		take := func(int) {
			for {
				c, won, err := EvictLeastUsed(t.Context(), x, ledger.Eviction{Room: wanted(t, 999).Key}, long)
				if err != nil {
					t.Errorf("EvictLeastUsed: %v", err)
				}
				if !won {
					return
				}
				mu.Lock()
				taken[c.Key]++
				mu.Unlock()
			}
		}
		together(6, take)
		take(0) // rows that some skipped because another had them locked
		for k, n := range taken {
			if n != 1 {
				t.Errorf("%s was taken %d times", k, n)
			}
		}
		if len(taken) != copies {
			t.Errorf("%d copies were taken; want %d", len(taken), copies)
		}
	}},
	{"lists the deletes that have begun, with a file", func(t *testing.T, x Index) {
		var begun []ledger.Key
		for i := range 3 {
			makeReady(t, x, wanted(t, i), "1")
			c, won := evict(t, x, wanted(t, 999).Key, "")
			if !won {
				t.Fatal("nothing was evicted")
			}
			begun = append(begun, c.Key)
			if i == 0 {
				finishDelete(t, x, c, ledger.StateEvicted)
			}
		}
		kept, won := evict(t, x, makeReady(t, x, wanted(t, 3), "1").Key, "")
		if won {
			t.Fatalf("evicted %+v", kept)
		}
		asked := startDelete(t, x, makeReady(t, x, wanted(t, 4), "1").Key, "asked for", long)
		claim(t, x, wanted(t, 5), long)
		startDelete(t, x, wanted(t, 5).Key, "without a file", long)
		got, err := x.Deletes(t.Context(), wanted(t, 0).Account)
		if err != nil || len(got) != 3 {
			t.Fatalf("%d deletes, error %v; want 3", len(got), err)
		}
		for _, k := range []ledger.Key{begun[1], begun[2], asked.Key} {
			if !slices.ContainsFunc(got, func(c ledger.Copy) bool {
				return c.Key == k && c.State == ledger.StateDeleting && c.Evicting == (k != asked.Key)
			}) {
				t.Errorf("the deletes are %+v", got)
			}
		}
		for _, account := range []string{"another", "a\x00b"} {
			if got, err := x.Deletes(t.Context(), account); err != nil || len(got) > 0 {
				t.Errorf("account %q has the deletes %v, error %v", account, got, err)
			}
		}
	}},
	{"becomes ready again if the provider keeps the file", func(t *testing.T, x Index) {
		want := makeReady(t, x, wanted(t, 0), "1")
		c, won := evict(t, x, wanted(t, 999).Key, "")
		if !won {
			t.Fatal("nothing was evicted")
		}
		got, stopped, err := x.Change(t.Context(), ledger.StopEviction(c.Key, c.Fence))
		want.Fence = c.Fence
		if err != nil || !stopped {
			t.Fatalf("stopped %v, error %v", stopped, err)
		}
		same(t, "the row", got, want)
		asStored(t, x, got)
	}},
	{"finds none for values that can't be stored", func(t *testing.T, x Index) {
		makeReady(t, x, wanted(t, 0), "1")
		k := wanted(t, 1).Key
		k.Account = "a\x00b"
		if c, won := evict(t, x, k, ""); won {
			t.Errorf("EvictLeastUsed took %+v", c)
		}
		if c, won := evict(t, x, wanted(t, 1).Key, "\xff"); won {
			t.Errorf("EvictLeastUsed took %+v", c)
		}
	}},
}
