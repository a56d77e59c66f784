package indextest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/index/export"
	"casgate/providers"
	"casgate/providers/ledger"
)

// usageOf is what CopyUsage has to say of an account with these rows.
func usageOf(rows []ledger.Copy, account string) (usage []ledger.Usage) {
	for _, row := range rows {
		if row.Account != account {
			continue
		}
		var files int64
		switch row.State {
		case ledger.StateUploading, ledger.StateProcessing, ledger.StateUnverified, ledger.StateReady:
			files++
		case ledger.StateDeleting:
			if row.FileID != "" {
				files++
			}
		default:
			continue
		}
		for _, s := range row.Strays {
			if !s.KeepUntil.IsZero() {
				files++
			}
		}
		if files == 0 {
			continue
		}
		i := slices.IndexFunc(usage, func(u ledger.Usage) bool { return u.Purpose == row.Purpose })
		if i < 0 {
			i = len(usage)
			usage = append(usage, ledger.Usage{Purpose: row.Purpose})
		}
		u := &usage[i]
		u.Files, u.Bytes = u.Files+files, u.Bytes+files*row.Size
		if row.State == ledger.StateUploading && row.FileID == "" {
			u.UploadingFiles, u.UploadingBytes = u.UploadingFiles+1, u.UploadingBytes+row.Size
		}
	}
	slices.SortFunc(usage, func(a, b ledger.Usage) int { return strings.Compare(a.Purpose, b.Purpose) })
	return usage
}

// checkUsage compares CopyUsage with the rows.
func checkUsage(t *testing.T, x Index, when string, accounts ...string) {
	t.Helper()
	rows, err := x.ExportCopies(t.Context(), ledger.Key{}, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range accounts {
		got, err := x.CopyUsage(t.Context(), account)
		if want := usageOf(rows, account); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: the usage of %q is %+v, error %v; want %+v", when, account, got, err, want)
		}
	}
}

// changeAnyhow makes a change that may fit the row.
func changeAnyhow(t *testing.T, x Index, r *rand.Rand, w ledger.Wanted) {
	row, err := x.Copy(t.Context(), w.Key)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		t.Error(err)
		return
	}
	w.Size, w.Retry = int64(r.IntN(1000)), true
	f := file([]string{"1", "2", "3"}[r.IntN(3)], providers.StatusReady, time.Time{})
	if r.IntN(3) == 0 {
		f.Status = providers.StatusProcessing
	}
	changes := []ledger.Transition{
		ledger.Enter(w, f.ID), ledger.Request(w), ledger.Claim(w, long), ledger.Claim(w, time.Nanosecond),
		ledger.Complete(w.Key, row.Fence, f), ledger.Complete(w.Key, row.Fence, f),
		ledger.Fail(w.Key, row.Fence, ledger.Failure{State: ledger.StateFailed, Error: trouble(), MayTurnUp: r.IntN(2) == 0}),
		ledger.Lose(w.Key, row.FileID, 10, long),
		ledger.Evict(row, long), ledger.StopEviction(w.Key, row.Fence),
		ledger.Delete(w.Key, "a delete", time.Nanosecond), ledger.RepeatDelete(w.Key, "another"),
		ledger.FinishDelete(w.Key, row.Fence, ledger.StateDeleted, 0), ledger.FinishDelete(w.Key, row.Fence, ledger.StateEvicted, 0),
		ledger.NoteLook(w.Key, row.Fence, ledger.Look{GivenUp: []ledger.Stray{{Fence: row.Fence, FileID: "kept", KeepUntil: later(long)}}}),
		ledger.NoteLook(w.Key, row.Fence, ledger.Look{Gone: []string{"kept"}}),
	}
	change := changes[r.IntN(len(changes))]
	if change.Check() != nil {
		return // no row has a file yet, for example
	}
	if _, _, err := x.Change(t.Context(), change); errors.Is(err, cas.ErrIndexUnavailable) {
		t.Errorf("%s: %v", change, err)
	}
}

var copyTotalsTests = []test{
	{"are those of the rows after changes at the same time", func(t *testing.T, x Index) {
		const copies = 24
		keys := make([]ledger.Wanted, copies)
		for i := range keys {
			keys[i] = wanted(t, i)
			keys[i].Account = []string{account, "another"}[i%2]
			keys[i].Purpose = []string{"file-extract", "batch", "image"}[i%3]
		}
		for round := range castest.Thorough(6, 2) {
			together(8, func(worker int) {
				r := rand.New(rand.NewPCG(uint64(round), uint64(worker)))
				for range 40 {
					changeAnyhow(t, x, r, keys[r.IntN(copies)])
				}
			})
			checkUsage(t, x, "after the changes", account, "another")
		}
	}},
	{"are those of the rows after a restore beside changes", func(t *testing.T, x Index) {
		const copies = 64
		var rows []ledger.Copy
		keys := make([]ledger.Wanted, copies)
		for i := range keys {
			keys[i] = wanted(t, i)
			rows = append(rows, ledger.Copy{
				Key: keys[i].Key, State: ledger.StateReady, Fence: 3, FileID: "restored", Size: int64(i), CreatedAt: exportTime(1), ReadyAt: exportTime(2),
				Strays: []ledger.Stray{{Fence: 2, FileID: "kept", At: exportTime(1), KeepUntil: exportTime(3)}},
			})
		}
		together(6, func(worker int) {
			r := rand.New(rand.NewPCG(7, uint64(worker)))
			if worker >= 3 {
				for range 40 {
					changeAnyhow(t, x, r, keys[r.IntN(copies)])
				}
				return
			}
			batch := slices.Clone(rows)
			r.Shuffle(copies, func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
			for part := range slices.Chunk(batch, 16) {
				if outcomes, err := x.RestoreCopies(t.Context(), part); err != nil || slices.Contains(outcomes, export.Completed) {
					t.Errorf("RestoreCopies: %v, error %v", outcomes, err)
				}
			}
		})
		checkUsage(t, x, "after the restore", account)
	}},
	{"have nothing of a change that fails", func(t *testing.T, x Index) {
		c := makeReady(t, x, wanted(t, 0), "1")
		if _, won, err := x.Change(t.Context(), ledger.Complete(c.Key, c.Fence-1, file("2", providers.StatusReady, time.Time{}))); won || err != nil {
			t.Errorf("an old claim: %v, error %v", won, err)
		}
		same(t, "outcomes", restoreCopies(t, x, []ledger.Copy{c}), []export.Outcome{export.Kept})
		checkUsage(t, x, "after changes that were refused", account)
	}},
}

func restoreCopies(t *testing.T, x Index, rows []ledger.Copy) []export.Outcome {
	t.Helper()
	outcomes, err := x.RestoreCopies(t.Context(), rows)
	if err != nil {
		t.Fatal(err)
	}
	return outcomes
}
