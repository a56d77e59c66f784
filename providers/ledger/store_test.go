package ledger_test

import (
	"context"
	"testing"
	"time"

	"casgate/cas"
	"casgate/providers/ledger"
)

// rows is a store of rows in memory. LeastUsed and Expired return the rows in this order.
type rows struct {
	ledger.Store
	copies []ledger.Copy
}

func (r *rows) LeastUsed(_ context.Context, _ ledger.Key, _ string, limit int) ([]ledger.Copy, error) {
	return r.list(limit, func(ledger.Copy) bool { return true })
}

func (r *rows) Expired(_ context.Context, _ ledger.Key, _ string, limit int) ([]ledger.Copy, error) {
	return r.list(limit, func(c ledger.Copy) bool { return c.HasExpired(time.Now()) })
}

func (r *rows) list(limit int, match func(ledger.Copy) bool) (ready []ledger.Copy, err error) {
	for _, c := range r.copies {
		if c.State == ledger.StateReady && len(ready) < limit && match(c) {
			ready = append(ready, c)
		}
	}
	return ready, nil
}

// Copies that have expired go first, each once. The others follow if those are not enough.
func TestVictimsExpiredFirst(t *testing.T) {
	t.Parallel()
	s := &rows{}
	for i := range int64(100) {
		s.copies = append(s.copies, row(ledger.StateReady, func(c *ledger.Copy) {
			c.Digest, c.Fence, c.ExpiresAt = cas.DigestOf([]byte{byte(i)}), i, time.Now().Add(time.Hour)
			if i%2 == 1 {
				c.ExpiresAt = time.Now().Add(-time.Hour)
			}
		}))
	}
	for _, test := range []struct {
		wanted      int
		onlyExpired bool
		got         int
	}{{1, false, 1}, {40, true, 40}, {50, false, 50}, {60, false, 60}, {60, true, 50}, {101, false, 100}} {
		victims, enough, err := ledger.Victims(t.Context(), s, ledger.Eviction{
			Room: key, Expired: test.onlyExpired, Enough: func(v []ledger.Copy) bool { return len(v) >= test.wanted },
		})
		if err != nil || enough != (test.got == test.wanted) || len(victims) != test.got {
			t.Fatalf("%+v: %d victims, enough %v, error %v", test, len(victims), enough, err)
		}
		for i, c := range victims {
			want := int64(2*i + 1)
			if i >= 50 {
				want = int64(2 * (i - 50))
			}
			if c.Fence != want {
				t.Errorf("%+v: victim %d is %d", test, i, c.Fence)
			}
		}
	}
}

// As few copies go as are enough. Copies that are spared hide no others.
func TestVictims(t *testing.T) {
	t.Parallel()
	s := &rows{}
	for i := range 100 {
		s.copies = append(s.copies, row(ledger.StateReady, func(c *ledger.Copy) { c.Fence = int64(i) }))
	}
	for name, test := range map[string]struct {
		spared int // the first ones
		wanted int
		first  int64
		enough bool
	}{
		"one":                    {0, 1, 0, true},
		"many":                   {3, 50, 3, true},
		"the last":               {99, 1, 99, true},
		"one too few":            {90, 11, 90, false},
		"all of them are spared": {100, 1, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			victims, enough, err := ledger.Victims(t.Context(), s, ledger.Eviction{
				Room: key, Spares: func(c ledger.Copy) bool { return c.Fence < int64(test.spared) },
				Enough: func(v []ledger.Copy) bool { return len(v) >= test.wanted },
			})
			if n := min(test.wanted, len(s.copies)-test.spared); err != nil || enough != test.enough || len(victims) != n || n > 0 && victims[0].Fence != test.first {
				t.Errorf("%d victims, enough %v, error %v", len(victims), enough, err)
			}
		})
	}
}
