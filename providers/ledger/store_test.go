package ledger_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"casgate/cas"
	"casgate/providers/ledger"
)

// rows is a store of rows in memory, with the methods that an eviction calls.
// LeastUsed returns the rows in this order. meanwhile changes a row before Change does,
// as another client would.
type rows struct {
	ledger.Store
	copies    []ledger.Copy
	meanwhile func(c *ledger.Copy) error
}

func (r *rows) LeastUsed(_ context.Context, _ ledger.Key, _ string, limit int) (ready []ledger.Copy, err error) {
	for _, c := range r.copies {
		if c.State == ledger.StateReady && len(ready) < limit {
			ready = append(ready, c)
		}
	}
	return ready, nil
}

func (r *rows) Change(_ context.Context, t ledger.Transition) (ledger.Copy, bool, error) {
	for i := range r.copies {
		c := &r.copies[i]
		if c.Key != t.Key {
			continue
		}
		if err := r.meanwhile(c); err != nil {
			return ledger.Copy{}, false, err
		}
		next, outcome, err := t.Apply(*c, now)
		if outcome == ledger.Changed {
			*c = next
		}
		return next, outcome != ledger.Refused, err
	}
	return ledger.Copy{}, false, ledger.ErrNotFound
}

// An eviction goes on to the next copy if another client takes the one it found.
func TestEvictLeastUsed(t *testing.T) {
	t.Parallel()
	numbered := func(extension string) ledger.Copy {
		return row(ledger.StateReady, func(c *ledger.Copy) { c.Extension = extension })
	}
	first, second := numbered(".1"), numbered(".2")
	// take makes the first copy another state.
	take := func(state ledger.State) func(c *ledger.Copy) error {
		return func(c *ledger.Copy) error {
			if c.Key == first.Key {
				c.State = state
			}
			return nil
		}
	}
	for name, test := range map[string]struct {
		copies    []ledger.Copy
		meanwhile func(c *ledger.Copy) error
		want      ledger.Key
		err       error
	}{
		"the first":                      {copies: []ledger.Copy{first, second}, meanwhile: take(ledger.StateReady), want: first.Key},
		"the second, the first evicted":  {copies: []ledger.Copy{first, second}, meanwhile: take(ledger.StateDeleting), want: second.Key},
		"the second, the first deleted":  {copies: []ledger.Copy{first, second}, meanwhile: take(ledger.StateDeleted), want: second.Key},
		"none, the only one was evicted": {copies: []ledger.Copy{first}, meanwhile: take(ledger.StateEvicted)},
		"none":                           {},
		"an error": {
			copies: []ledger.Copy{first, second}, meanwhile: func(*ledger.Copy) error { return cas.ErrIndexUnavailable }, err: cas.ErrIndexUnavailable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &rows{copies: test.copies, meanwhile: test.meanwhile}
			c, won, err := ledger.EvictLeastUsed(t.Context(), s, ledger.Eviction{Room: key}, time.Minute)
			if c.Key != test.want || won != (test.want != ledger.Key{}) || !errors.Is(err, test.err) {
				t.Errorf("evicted %s: won %v, error %v; want %s, error %v", c.Key, won, err, test.want, test.err)
			}
			if won && c.State != ledger.StateDeleting {
				t.Errorf("the evicted copy is %s", c.State)
			}
		})
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
