package indextest

import (
	"fmt"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

var loseCopyTests = []test{
	{"marks ready and processing copies", func(t *testing.T, x Index) {
		for i, status := range []providers.Status{providers.StatusReady, providers.StatusProcessing} {
			w := wanted(t, i)
			c := complete(t, x, claim(t, x, w, long), file("1", status, later(long)))
			got := lose(t, x, c, 3, long)
			want := c
			want.State, want.FileID, want.RemoteName, want.ExpiresAt = ledger.StateLost, "", "", time.Time{}
			want.UploadedAt, want.Strays, want.LookAt = time.Time{}, givenUp(c), got.NextAttemptAt
			want.Losses, want.LostAt, want.NextAttemptAt, want.LeaseUntil = 1, got.NextAttemptAt, got.NextAttemptAt, time.Time{}
			same(t, "the row", got, want)
			asStored(t, x, got)
			if got.NextAttemptAt.Before(got.CreatedAt) {
				t.Errorf("created at %s, next attempt at %s", got.CreatedAt, got.NextAttemptAt)
			}
			claim(t, x, w, long) // due at once
		}
	}},
	{"changes nothing about another file, or another state", func(t *testing.T, x Index) {
		for i, s := range situations {
			if s.state == "" || s.state == ledger.StateDeleted {
				continue
			}
			w := wanted(t, i)
			s.arrange(t, x, w)
			before := current(t, x, w.Key, w.OperationID)
			ids := []string{"another", "", "a\x00b"}
			if s.state != ledger.StateReady && s.state != ledger.StateProcessing {
				ids = append(ids, before.FileID)
			}
			for _, id := range ids {
				got, _, err := x.Change(t.Context(), ledger.Lose(w.Key, id, 3, long))
				if err != nil {
					t.Errorf("%s: Lose of %q: %v", s.name, id, err)
				}
				same(t, fmt.Sprintf("%s: the row after Lose of %q", s.name, id), got, before)
				asStored(t, x, before)
			}
		}
	}},
	{"counts losses within the window, and then waits", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		const window = 3 * time.Hour
		files := 0
		for _, c := range []struct {
			after  time.Duration
			losses int
			due    bool
		}{
			{0, 1, true}, {time.Minute, 2, true}, {2 * time.Hour, 3, false}, {window + time.Minute, 1, true}, {2 * time.Hour, 2, true},
		} {
			files++
			made := makeReady(t, x, w, fmt.Sprint(files))
			if c.after > 0 {
				age(t, x, w.Key, c.after)
			}
			lost := lose(t, x, made, 2, window)
			if lost.Losses != c.losses {
				t.Errorf("lost %v after the last: %d losses; want %d", c.after, lost.Losses, c.losses)
			}
			if _, won, err := x.Change(t.Context(), ledger.Claim(w, 0)); err != nil || won != c.due {
				t.Errorf("lost %v after the last: claimed %v, error %v; want %v", c.after, won, err, c.due)
			}
			if !c.due {
				age(t, x, w.Key, window-time.Minute)
				if _, won, err := x.Change(t.Context(), ledger.Claim(w, 0)); err != nil || won {
					t.Errorf("before the window is over: claimed %v, error %v", won, err)
				}
				age(t, x, w.Key, 2*time.Minute)
			}
		}
	}},
	{"waits at once where no loss is allowed", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		lost := lose(t, x, makeReady(t, x, w, "1"), 0, long)
		sameCopy(t, "the row", lost, func() ledger.Copy { want := lost; want.NextAttemptAt = lost.ReadyAt.Add(long); return want }())
		if _, won, err := x.Change(t.Context(), ledger.Claim(w, 0)); err != nil || won {
			t.Errorf("claimed %v, error %v", won, err)
		}
	}},
	{"is reported once of many times", func(t *testing.T, x Index) {
		c := makeReady(t, x, wanted(t, 0), "1")
		together(16, func(int) {
			if got, _, err := x.Change(t.Context(), ledger.Lose(c.Key, "1", 1, long)); err != nil || got.State != ledger.StateLost || got.Losses != 1 {
				t.Errorf("Lose: %+v, error %v", got, err)
			}
		})
	}},
	{"tells where there is no row", func(t *testing.T, x Index) {
		noRow(t, func(k ledger.Key) error { _, _, err := x.Change(t.Context(), ledger.Lose(k, "1", 3, long)); return err })
		c := makeReady(t, x, wanted(t, 0), "1")
		finishDelete(t, x, startDelete(t, x, c.Key, "", long), ledger.StateDeleted)
		_, _, err := x.Change(t.Context(), ledger.Lose(c.Key, "1", 3, long))
		noCopy(t, "Lose of a deleted copy", err)
	}},
}
