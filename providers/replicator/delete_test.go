package replicator_test

import (
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// A delete that the provider refuses again and again is repeated less and less often.
func TestRefusedDeletesAreRepeatedLessOften(t *testing.T) {
	t.Parallel()
	hint := fail(providers.OpDelete, providers.KindTransient, "rate", nil)
	hint.Status, hint.RetryAfter = 429, 100*time.Millisecond
	for name, set := range map[string]func(d *depot){
		"deleted: false, and the file stays": func(d *depot) { d.notDeleted, d.staying = 1000, true },
		"an error": func(d *depot) {
			d.before = times(1000, providers.OpDelete, fail(providers.OpDelete, providers.KindTransient, "busy", nil))
		},
		"a 429 with a short wait": func(d *depot) { d.before = times(1000, providers.OpDelete, hint) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.replicator(t, nil)
			q := want(w.put(t, "a text", "a.txt"))
			c := ensure(t, r, q)
			w.depot.change(set)
			for attempt, atLeast := range []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
				began := time.Now()
				rows, err := r.Remove(t.Context(), q)
				if err != nil || rows[0].State != ledger.StateDeleting {
					t.Fatalf("removed: %+v, error %v", rows, err)
				}
				row := w.row(t, c.Key)
				if wait := row.NextAttemptAt.Sub(began); row.Attempts != attempt+1 || wait < atLeast {
					t.Errorf("after refusal %d the row counts %d, and waits %s; want %s at least", attempt+1, row.Attempts, wait, atLeast)
				}
			}
		})
	}
}
