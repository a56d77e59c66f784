package ledger_test

import (
	"context"
	"testing"

	"casgate/providers/ledger"
)

// rows is a store of rows in memory. LeastUsed returns the rows in this order.
type rows struct {
	ledger.Store
	copies []ledger.Copy
}

func (r *rows) LeastUsed(_ context.Context, _ ledger.Key, _ string, limit int) (ready []ledger.Copy, err error) {
	for _, c := range r.copies {
		if c.State == ledger.StateReady && len(ready) < limit {
			ready = append(ready, c)
		}
	}
	return ready, nil
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
