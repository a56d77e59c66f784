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

func (r *rows) LeastUsed(context.Context, ledger.Key, string) (ledger.Copy, error) {
	for _, c := range r.copies {
		if c.State == ledger.StateReady {
			return c, nil
		}
	}
	return ledger.Copy{}, ledger.ErrNotFound
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
			c, won, err := ledger.EvictLeastUsed(t.Context(), s, ledger.Eviction{Room: key, Lease: time.Minute})
			if c.Key != test.want || won != (test.want != ledger.Key{}) || !errors.Is(err, test.err) {
				t.Errorf("evicted %s: won %v, error %v; want %s, error %v", c.Key, won, err, test.want, test.err)
			}
			if won && c.State != ledger.StateDeleting {
				t.Errorf("the evicted copy is %s", c.State)
			}
		})
	}
}
