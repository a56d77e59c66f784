package indextest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"casgate/providers"
	"casgate/providers/ledger"
)

// noteLook notes a look and fails the test where that is refused.
func noteLook(t testing.TB, x Index, k ledger.Key, by int64, l ledger.Look) ledger.Copy {
	t.Helper()
	c, done, err := x.Change(t.Context(), ledger.NoteLook(k, by, l))
	if err != nil || !done {
		t.Fatalf("NoteLook: done %v, error %v; the row is %+v", done, err, c)
	}
	return c
}

// refusedLook fails the test unless the look is refused, and the row stays.
func refusedLook(t testing.TB, x Index, before ledger.Copy, by int64, l ledger.Look) {
	t.Helper()
	c, done, err := x.Change(t.Context(), ledger.NoteLook(before.Key, by, l))
	if err != nil || done {
		t.Errorf("NoteLook: done %v, error %v; want that it is refused", done, err)
	}
	same(t, "the row", c, before)
	asStored(t, x, before)
}

var noteLookTests = []test{
	{"gives up files that no client may adopt", func(t *testing.T, x Index) {
		found := ledger.Look{GivenUp: []ledger.Stray{{Fence: 9, FileID: "stray"}}}
		for i, s := range situations {
			if s.state == "" {
				continue
			}
			w := wanted(t, i)
			s.arrange(t, x, w)
			before := current(t, x, w.Key, w.OperationID)
			if (!s.state.Settled() && s.state != ledger.StateDeleting) || s.name == "being verified" {
				refusedLook(t, x, before, 0, found)
				if !before.LeaseUntil.IsZero() {
					refusedLook(t, x, before, before.Fence-1, found)
					noteLook(t, x, w.Key, before.Fence, found)
				}
				continue
			}
			got := noteLook(t, x, w.Key, 0, found)
			want := before
			want.Strays = append(slices.Clone(before.Strays), ledger.Stray{Fence: 9, FileID: "stray", At: before.CreatedAt})
			want.LookAt, want.NextAttemptAt = got.LookAt, got.NextAttemptAt
			sameCopy(t, s.name+": the row", got, want)
			asStored(t, x, got)
			if looks := s.state != ledger.StateDeleting && s.state != ledger.StateUnverified; looks == got.LookAt.IsZero() {
				t.Errorf("%s: looked at %s", s.name, got.LookAt)
			}
		}
	}},
	{"never gives up the row's file", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		w.Margin = margin
		c := complete(t, x, claim(t, x, w, long), file("1", providers.StatusReady, later(margin/2)))
		mine := ledger.Look{GivenUp: []ledger.Stray{{Fence: 1, FileID: "1"}}}
		refusedLook(t, x, c, 0, mine)
		c = claim(t, x, w, long)
		refusedLook(t, x, c, c.Fence, mine)
		refusedLook(t, x, startDelete(t, x, w.Key, "", long), 0, mine)
	}},
	{"forgets what is settled", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		for range 3 {
			claim(t, x, w, 0) // three attempts whose gateways died
		}
		c := fail(t, x, claim(t, x, w, long), ledger.Failure{State: ledger.StateFailed, MayTurnUp: true, GivenUp: "wrong"})
		if len(c.Strays) != 5 {
			t.Fatalf("the row is %+v", c)
		}
		fences := func(c ledger.Copy) (list []string) {
			for _, s := range c.Strays {
				list = append(list, fmt.Sprint(s.Fence, s.FileID))
			}
			slices.Sort(list)
			return list
		}
		c = noteLook(t, x, w.Key, 0, ledger.Look{Fences: []int64{2, 4}, Gone: []string{"another"}, Next: long})
		same(t, "the strays", fences(c), []string{"1", "3", "4wrong"})
		if time.Until(c.LookAt) < long/2 || slices.Contains(dueKeys(t, x, 1000, w.Account), w.Key) {
			t.Errorf("the row is looked at again at %s", c.LookAt)
		}
		c = noteLook(t, x, w.Key, 0, ledger.Look{Before: later(-time.Hour), Gone: []string{"wrong"}})
		same(t, "the strays", fences(c), []string{"1", "3"})
		c = noteLook(t, x, w.Key, 0, ledger.Look{Before: later(time.Hour), Next: long})
		if len(c.Strays) != 0 || !c.LookAt.IsZero() {
			t.Errorf("in the end the row is %+v", c)
		}
		asStored(t, x, c)
	}},
	{"forgets strays of copies that were deleted", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		claim(t, x, w, 0)
		finishDelete(t, x, startDelete(t, x, w.Key, "", long), ledger.StateDeleted)
		if c := noteLook(t, x, w.Key, 0, ledger.Look{Before: later(time.Hour)}); c.State != ledger.StateDeleted || len(c.Strays) != 0 {
			t.Errorf("the row is %+v", c)
		}
	}},
	{"lets a delete go on", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		c := makeReady(t, x, w, "1")
		lose(t, x, c, 3, long)
		makeReady(t, x, w, "2")
		c = startDelete(t, x, w.Key, "", long)
		c, _, err := x.Change(t.Context(), ledger.FailDelete(w.Key, c.Fence, ledger.Failure{Again: true, After: long}))
		if err != nil {
			t.Fatal(err)
		}
		if c = noteLook(t, x, w.Key, 0, ledger.Look{Gone: []string{"2"}}); c.FileID != "" || c.NextAttemptAt.Before(later(long/2)) {
			t.Errorf("once the file is deleted, the row is %+v", c)
		}
		noteLook(t, x, w.Key, 0, ledger.Look{Gone: []string{"1"}})
		if due := dueKeys(t, x, 1000, w.Account); !slices.Contains(due, w.Key) {
			t.Error("the delete does not go on")
		}
	}},
	{"refuses ids that can't be stored", func(t *testing.T, x Index) {
		c := makeReady(t, x, wanted(t, 0), "1")
		for _, id := range []string{"", "a\x00b", "\xff"} {
			_, _, err := x.Change(t.Context(), ledger.NoteLook(c.Key, 0, ledger.Look{GivenUp: []ledger.Stray{{FileID: id}}}))
			refused(t, fmt.Sprintf("the file id %q", id), err)
		}
		asStored(t, x, c)
	}},
	{"tells where there is no row", func(t *testing.T, x Index) {
		noRow(t, func(k ledger.Key) error {
			_, _, err := x.Change(t.Context(), ledger.NoteLook(k, 0, ledger.Look{}))
			return err
		})
	}},
}

// fileIDs lists the files that a row has given up.
func fileIDs(c ledger.Copy) (ids []string) {
	for _, s := range c.Strays {
		if s.FileID != "" {
			ids = append(ids, s.FileID)
		}
	}
	return ids
}

func (m *ledgerModel) look(t *rapid.T) {
	k, row, found, fence := m.pick(t)
	by := rapid.SampledFrom([]int64{0, fence}).Draw(t, "by")
	var l ledger.Look
	if ids := append(fileIDs(row), row.FileID); rapid.Bool().Draw(t, "gone") {
		l.Gone = []string{rapid.SampledFrom(ids).Draw(t, "gone file")}
	}
	if rapid.Bool().Draw(t, "found") {
		m.next++
		id := rapid.SampledFrom([]string{fmt.Sprint("file ", m.next), fmt.Sprint("file ", m.next), row.FileID}).Draw(t, "found file")
		if id != "" {
			l.GivenUp = []ledger.Stray{{Fence: row.Fence, FileID: id}}
		}
	}
	if len(row.Strays) > 0 && rapid.Bool().Draw(t, "fences") {
		l.Fences = []int64{rapid.SampledFrom(row.Strays).Draw(t, "stray").Fence}
	}
	if rapid.Bool().Draw(t, "before") {
		l.Before = later(10 * time.Minute)
	}
	l.Next = drawLease(t)
	got, done, err := m.x.Change(m.t.Context(), ledger.NoteLook(k, by, l))
	if !found {
		m.missing(t, "NoteLook", err)
		return
	}
	wins := true
	for _, s := range l.GivenUp {
		free := row.State == ledger.StateDeleting || row.State.Settled() && !leased(row) || atWork(row, by)
		wins = wins && free && s.FileID != row.FileID
	}
	if wins {
		for _, s := range l.GivenUp {
			s.At = over
			row = withStray(row, s)
		}
		had := len(row.Strays)
		row.Strays = slices.DeleteFunc(slices.Clone(row.Strays), func(s ledger.Stray) bool {
			if s.FileID != "" {
				return slices.Contains(l.Gone, s.FileID)
			}
			return slices.Contains(l.Fences, s.Fence) || !l.Before.IsZero() && s.At.Equal(over)
		})
		if row.State == ledger.StateDeleting {
			if slices.Contains(l.Gone, row.FileID) {
				row.FileID, row.RemoteName, row.ExpiresAt = "", "", time.Time{}
			}
			if len(row.Strays) < had && !leased(row) {
				row.NextAttemptAt = over
			}
		} else if l.Next > 0 {
			row.LookAt = farOff
		}
		row = looked(row)
		if len(row.Strays) == 0 {
			row.Strays = nil
		}
		m.rows[k] = row
	}
	m.agree(t, "NoteLook", got, err, row)
	if done != wins {
		t.Fatalf("NoteLook: done %v; want %v", done, wins)
	}
}
