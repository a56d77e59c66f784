package indextest

import (
	"slices"
	"strings"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"casgate/providers/ledger"
)

func (m *ledgerModel) evict(t *rapid.T) {
	room, _, _, _ := m.pick(t)
	purpose := rapid.SampledFrom([]string{"", "agent", "batch"}).Draw(t, "purpose")
	// The order is that of real times, which are the ledger's own.
	var candidates []ledger.Copy
	for k, row := range m.rows {
		if row.State == ledger.StateReady && k != room && (purpose == "" || k.Purpose == purpose) {
			c, err := m.x.Copy(m.t.Context(), k)
			m.agree(t, "Copy", c, err, row)
			candidates = append(candidates, c)
		}
	}
	used := func(c ledger.Copy) time.Time {
		if c.LastUsedAt.After(c.ReadyAt) {
			return c.LastUsedAt
		}
		return c.ReadyAt
	}
	lease := drawLease(t)
	got, won, err := EvictLeastUsed(m.t.Context(), m.x, ledger.Eviction{Room: room, Purpose: purpose}, lease)
	if err != nil || won != (len(candidates) > 0) {
		t.Fatalf("EvictLeastUsed: won %v of %d, error %v", won, len(candidates), err)
	}
	if !won {
		return
	}
	isOver := func(c ledger.Copy) bool { return rough(c).ExpiresAt.Equal(over) }
	first := slices.MinFunc(candidates, func(a, b ledger.Copy) int {
		switch {
		case isOver(a) && isOver(b):
			return a.ExpiresAt.Compare(b.ExpiresAt)
		case isOver(a):
			return -1
		case isOver(b):
			return 1
		}
		return used(a).Compare(used(b))
	})
	row := deleting(rough(first), lease)
	row.Evicting = true
	m.rows[row.Key] = row
	m.agree(t, "EvictLeastUsed", got, err, row)
	for _, c := range candidates {
		if rapid.Bool().Draw(t, "used") {
			if err := m.x.UseCopies(m.t.Context(), map[ledger.Key]time.Time{c.Key: c.CreatedAt.Add(time.Hour)}); err != nil {
				t.Fatalf("UseCopies: %v", err)
			}
		}
	}
}

// check compares all that can be asked, after every step.
func (m *ledgerModel) check(t *rapid.T) {
	ctx, about := m.t.Context(), m.keys[0]
	var all, due []ledger.Copy
	for k, row := range m.rows {
		if row.State == ledger.StateDeleted {
			_, err := m.x.Copy(ctx, k)
			m.missing(t, "Copy", err)
			got, err := m.x.CopyOfOperation(ctx, row.OperationID)
			m.agree(t, "CopyOfOperation", got, err, row)
		} else {
			all = append(all, row)
		}
		if row.State == ledger.StateDeleting || row.State == ledger.StateDeleted {
			for _, id := range row.LaterDeletes {
				got, err := m.x.CopyOfOperation(ctx, id)
				m.agree(t, "CopyOfOperation", got, err, row)
			}
		}
		if row.LookAt.Equal(over) {
			due = append(due, row)
		}
		switch row.State {
		case ledger.StatePending, ledger.StateDeleting:
			if row.NextAttemptAt.Equal(over) && !leased(row) {
				due = append(due, row)
			}
		case ledger.StateUnverified:
			if (row.NextAttemptAt.Equal(over) || !row.LeaseUntil.IsZero()) && !leased(row) {
				due = append(due, row)
			}
		case ledger.StateUploading, ledger.StateProcessing:
			if !leased(row) {
				due = append(due, row)
			}
		}
	}
	m.list(t, "CopiesAt", all, func() ([]ledger.Copy, error) { return m.x.CopiesAt(ctx, about.Provider, ledger.Key{}, 100) })
	m.list(t, "DueCopies", due, func() ([]ledger.Copy, error) { return m.x.DueCopies(ctx, []string{about.Account}, 100) })
	usage, err := m.x.CopyUsage(ctx, about.Account)
	if want := usageOf(all, about.Account); err != nil || !slices.Equal(usage, want) {
		t.Fatalf("CopyUsage: %+v, error %v; want %+v", usage, err, want)
	}
}

// list compares lists, in whatever order.
func (m *ledgerModel) list(t *rapid.T, what string, want []ledger.Copy, ask func() ([]ledger.Copy, error)) {
	t.Helper()
	got, err := ask()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for i := range got {
		got[i] = rough(got[i])
	}
	byName := func(a, b ledger.Copy) int { return strings.Compare(a.Extension, b.Extension) }
	slices.SortFunc(got, byName)
	slices.SortFunc(want, byName)
	if !slices.EqualFunc(got, want, alike) {
		t.Fatalf("%s is not as it should be (-want +got):\n%s", what, gocmp.Diff(want, got))
	}
}
