package indextest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

var enterCopyTests = []test{
	{"stores the noted copies, and changes no existing row", func(t *testing.T, x Index) {
		eachSituation(t, x, func(t *testing.T, s situation, w ledger.Wanted, before ledger.Copy, _ bool) {
			got := enter(t, x, w, "entered")
			if s.state != "" {
				same(t, "the row", got, before)
				asStored(t, x, got)
				return
			}
			want := ledger.Copy{
				Key: w.Key, State: ledger.StateUnverified, FileID: "entered", Name: w.Name, MediaType: w.MediaType, Size: w.Size,
				OperationID: w.OperationID, CreatedAt: got.CreatedAt,
			}
			same(t, "the row", got, want)
			asStored(t, x, got)
			if due := dueKeys(t, x, 1000, w.Account); slices.Contains(due, w.Key) {
				t.Error("it is due, though no caller has requested it")
			}
		})
	}},
	{"enters once", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		together(16, func(n int) { enter(t, x, w, fmt.Sprint("file ", n)) })
		if all, err := x.Copies(t.Context(), w.Digest); err != nil || len(all) != 1 || all[0].State != ledger.StateUnverified {
			t.Errorf("there are %+v, error %v", all, err)
		}
	}},
	{"refuses invalid file ids", func(t *testing.T, x Index) {
		for _, id := range []string{"", "a\x00b", "\xff"} {
			_, _, err := x.Change(t.Context(), ledger.Enter(wanted(t, 0), id))
			refused(t, fmt.Sprintf("the file id %q", id), err)
		}
	}},
}

var requestCopyTests = []test{
	{"makes claimable copies pending, and changes nothing else", func(t *testing.T, x Index) {
		eachSituation(t, x, func(t *testing.T, s situation, w ledger.Wanted, before ledger.Copy, claimable bool) {
			got := request(t, x, w)
			if !claimable || before.State == ledger.StateProcessing {
				same(t, "the row", got, before)
				asStored(t, x, got)
				return
			}
			want := before
			want.Key, want.State = w.Key, ledger.StatePending
			if before.State == ledger.StateUnverified {
				want.State = before.State
			}
			want.Name, want.MediaType, want.Size, want.OperationID = w.Name, w.MediaType, w.Size, operationOf(before, w)
			want.Attempts, want.Error = 0, nil
			want.Strays, want.LookAt = takenOver(before), time.Time{}
			want.NextAttemptAt, want.LeaseUntil = got.NextAttemptAt, time.Time{}
			if s.state == "" || s.state == ledger.StateDeleted {
				want.CreatedAt = got.CreatedAt
			}
			same(t, "the row", got, want)
			asStored(t, x, got)
			if got.CreatedAt.IsZero() || got.NextAttemptAt.Before(got.CreatedAt) || (s.state == ledger.StateDeleted && !got.CreatedAt.After(before.CreatedAt)) {
				t.Errorf("created at %s, next attempt at %s", got.CreatedAt, got.NextAttemptAt)
			}
			// It is due now.
			attempts := 1
			if before.State == ledger.StateUnverified {
				attempts = 0 // nothing is uploaded to find out
			}
			if c := claim(t, x, w, long); c.Fence != before.Fence+1 || c.OperationID != want.OperationID || c.Attempts != attempts {
				t.Errorf("it is claimed as %+v", c)
			}
		})
	}},
	{"joins requests", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		var mu sync.Mutex
		var rows []ledger.Copy
		together(16, func(int) {
			c, _, err := x.Change(t.Context(), ledger.Request(w))
			if err != nil || c.State != ledger.StatePending {
				t.Errorf("Request: %+v, error %v", c, err)
			}
			again := w
			again.OperationID += " asked later"
			if c := request(t, x, again); c.OperationID != w.OperationID {
				t.Errorf("a later request replaces the operation: %+v", c)
			}
			mu.Lock()
			defer mu.Unlock()
			rows = append(rows, c)
		})
		all, err := x.Copies(t.Context(), w.Digest)
		if err != nil || len(all) != 1 || !slices.ContainsFunc(rows, func(c ledger.Copy) bool { return c.CreatedAt.Equal(all[0].CreatedAt) }) {
			t.Errorf("there are %+v, error %v", all, err)
		}
	}},
	{"refuses values that can't be stored", func(t *testing.T, x Index) {
		refusesWanted(t, x, "Request", func(w ledger.Wanted) error { _, _, err := x.Change(t.Context(), ledger.Request(w)); return err })
	}},
}

// refusesWanted tests a call with values that no index can store.
func refusesWanted(t *testing.T, x Index, what string, call func(w ledger.Wanted) error) {
	w := wanted(t, 0)
	w.Size = -1
	refused(t, what+" of negative size", call(w))
	for _, text := range []string{"a\x00b", "\xff"} {
		for name, set := range map[string]func(w *ledger.Wanted){
			"provider":   func(w *ledger.Wanted) { w.Provider = text },
			"account":    func(w *ledger.Wanted) { w.Account = text },
			"purpose":    func(w *ledger.Wanted) { w.Purpose = text },
			"extension":  func(w *ledger.Wanted) { w.Extension = text },
			"name":       func(w *ledger.Wanted) { w.Name = text },
			"media type": func(w *ledger.Wanted) { w.MediaType = text },
			"operation":  func(w *ledger.Wanted) { w.OperationID = text },
		} {
			w := wanted(t, 0)
			set(&w)
			refusedText(t, fmt.Sprintf("%s with %s %q", what, name, text), call(w))
		}
	}
	if all, err := x.Copies(t.Context(), w.Digest); err != nil || len(all) != 0 {
		t.Errorf("there are %+v, error %v", all, err)
	}
}

var claimCopyTests = []test{
	{"gives claimable copies, and changes nothing else", func(t *testing.T, x Index) {
		eachSituation(t, x, func(t *testing.T, s situation, w ledger.Wanted, before ledger.Copy, claimable bool) {
			got, won, err := x.Change(t.Context(), ledger.Claim(w, long))
			if err != nil || won != claimable {
				t.Fatalf("Claim: won %v, error %v; want %v", won, err, claimable)
			}
			if !won {
				same(t, "the row", got, before)
				asStored(t, x, got)
				return
			}
			want := before
			want.Key, want.State, want.Fence = w.Key, ledger.StateUploading, before.Fence+1
			want.Name, want.MediaType, want.Size = w.Name, w.MediaType, w.Size
			want.Strays, want.LookAt = takenOver(before), time.Time{}
			want.OperationID = operationOf(before, w)
			want.NextAttemptAt, want.LeaseUntil = time.Time{}, got.LeaseUntil
			switch before.State {
			case ledger.StateProcessing, ledger.StateUnverified:
				want.State = before.State
			case ledger.StateUploading: // one attempt, together with the one whose gateway died
			case ledger.StatePending:
				want.Attempts++
			default:
				want.Attempts = 1
			}
			if s.state == "" || s.state == ledger.StateDeleted {
				want.CreatedAt = got.CreatedAt
			}
			same(t, "the row", got, want)
			asStored(t, x, got)
			if got.LeaseUntil.Before(got.CreatedAt.Add(long)) || got.LeaseUntil.After(got.CreatedAt.Add(long+time.Hour)) {
				t.Errorf("created at %s, the lease of %v runs until %s", got.CreatedAt, long, got.LeaseUntil)
			}
			again, won, err := x.Change(t.Context(), ledger.Claim(w, long))
			if err != nil || won {
				t.Errorf("Claim once more: won %v, error %v", won, err)
			}
			same(t, "the row claimed once more", again, got)
		})
	}},
	{"gives a copy that was deleted only to those who have not seen it", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		w.Existing = true
		ready := makeReady(t, x, w, "1") // there is no row that could have been deleted
		finishDelete(t, x, startEviction(t, x, ready), ledger.StateEvicted)
		claim(t, x, w, long)
		finishDelete(t, x, startDelete(t, x, w.Key, "", long), ledger.StateDeleted)
		c, won, err := x.Change(t.Context(), ledger.Claim(w, long))
		if err != nil || won || c.State != ledger.StateDeleted {
			t.Errorf("Claim: %+v, won %v, error %v", c, won, err)
		}
		w.Existing = false
		claim(t, x, w, long)
	}},
	{"goes by the margin of each claim", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		complete(t, x, claim(t, x, w, long), file("1", providers.StatusReady, later(long)))
		for _, c := range []struct {
			margin time.Duration
			won    bool
		}{{0, false}, {long / 2, false}, {2 * long, true}} {
			w.Margin = c.margin
			if row, won, err := x.Change(t.Context(), ledger.Claim(w, long)); err != nil || won != c.won {
				t.Errorf("with a margin of %v: won %v, error %v, the row is %+v", c.margin, won, err, row)
			}
		}
	}},
	{"gives again a copy whose lease ran out", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		first := claim(t, x, w, time.Hour)
		age(t, x, w.Key, 59*time.Minute)
		if c, won, err := x.Change(t.Context(), ledger.Claim(w, time.Hour)); err != nil || won {
			t.Errorf("Claim before the lease ran out: won %v, error %v, the row is %+v", won, err, c)
		}
		age(t, x, w.Key, 2*time.Minute)
		if c := claim(t, x, w, time.Hour); c.Fence != first.Fence+1 || len(c.Strays) != 1 || c.Strays[0].Fence != first.Fence || c.Attempts != 1 {
			t.Errorf("Claim after the lease ran out: %+v", c)
		}
	}},
	{"gives a copy that has become due", func(t *testing.T, x Index) {
		for i, state := range []ledger.State{ledger.StatePending, ledger.StateFailed} {
			w := wanted(t, i)
			fail(t, x, claim(t, x, w, long), ledger.Failure{State: state, Again: true, After: time.Hour})
			age(t, x, w.Key, 59*time.Minute)
			if c, won, err := x.Change(t.Context(), ledger.Claim(w, long)); err != nil || won {
				t.Errorf("Claim of a %s row before it was due: won %v, error %v, the row is %+v", state, won, err, c)
			}
			age(t, x, w.Key, 2*time.Minute)
			claim(t, x, w, long)
		}
	}},
	{"tells copies apart by every part of the key", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		claim(t, x, w, long)
		for name, change := range map[string]func(k *ledger.Key){
			"digest":    func(k *ledger.Key) { k.Digest = digest(t, 1) },
			"provider":  func(k *ledger.Key) { k.Provider = "glm" },
			"account":   func(k *ledger.Key) { k.Account = "" },
			"purpose":   func(k *ledger.Key) { k.Purpose = "batch" },
			"extension": func(k *ledger.Key) { k.Extension = "" },
		} {
			o := w
			change(&o.Key)
			if c := claim(t, x, o, long); c.Fence != 1 || c.Key != o.Key {
				t.Errorf("with another %s: %+v", name, c)
			}
		}
	}},
	{"is won by one of 64", func(t *testing.T, x Index) {
		for i, s := range situations {
			if !s.claimable {
				continue
			}
			w := wanted(t, i)
			s.arrange(t, x, w)
			before := current(t, x, w.Key, w.OperationID)
			w.Margin = margin
			var mu sync.Mutex
			winners := 0
			together(64, func(int) {
				c, won, err := x.Change(t.Context(), ledger.Claim(w, long))
				if err != nil || c.Fence != before.Fence+1 || !c.LeaseUntil.After(c.CreatedAt) {
					t.Errorf("%s: Claim: won %v, error %v, the row is %+v", s.name, won, err, c)
				}
				if won {
					mu.Lock()
					winners++
					mu.Unlock()
				}
			})
			if winners != 1 {
				t.Errorf("%s: %d of 64 claims were won", s.name, winners)
			}
		}
	}},
	{"never gives two the row at once", func(t *testing.T, x Index) {
		// Claims, failures, completions, losses and deletes of one row, as they come: each
		// fence is given out once, and only its holder's changes are made.
		w := wanted(t, 0)
		w.Retry = true
		var mu sync.Mutex
		fences := map[int64]int{}
		got := func(c ledger.Copy) {
			mu.Lock()
			defer mu.Unlock()
			fences[c.Fence]++
		}
		together(8, func(i int) {
			for range 10 {
				c, won, err := x.Change(t.Context(), ledger.Claim(w, long))
				if err != nil {
					t.Errorf("Claim: %v", err)
					continue
				}
				if won {
					got(c)
					id := fmt.Sprint("file ", c.Fence)
					if i%2 == 0 {
						c, _, err = x.Change(t.Context(), ledger.Complete(w.Key, c.Fence, file(id, providers.StatusReady, time.Time{})))
					} else {
						c, _, err = x.Change(t.Context(), ledger.Fail(w.Key, c.Fence, ledger.Failure{State: ledger.StatePending, Again: true}))
					}
					if err != nil {
						t.Errorf("after a claim: %v", err)
					}
				}
				if c.State == ledger.StateReady && i%4 == 0 {
					if _, _, err := x.Change(t.Context(), ledger.Lose(w.Key, c.FileID, 1000, long)); err != nil && !errors.Is(err, ledger.ErrNotFound) {
						t.Errorf("Lose: %v", err)
					}
				}
				if i == 1 {
					c, won, err := x.Change(t.Context(), ledger.Delete(w.Key, "", long))
					if err != nil && !errors.Is(err, ledger.ErrNotFound) {
						t.Errorf("Delete: %v", err)
					}
					if won {
						got(c)
						// The files that were lost before must be gone first.
						var gone ledger.Look
						for _, s := range c.GivenUp() {
							gone.Gone = append(gone.Gone, s.FileID)
						}
						if _, _, err := x.Change(t.Context(), ledger.NoteLook(w.Key, c.Fence, gone)); err != nil {
							t.Errorf("NoteLook: %v", err)
						}
						if _, held, err := x.Change(t.Context(), ledger.FinishDelete(w.Key, c.Fence, ledger.StateDeleted, -2*long)); err != nil || !held {
							t.Errorf("FinishDelete: held %v, error %v", held, err)
						}
					}
				}
			}
		})
		last, _, err := x.Change(t.Context(), ledger.Claim(w, long))
		if err != nil {
			t.Fatal(err)
		}
		got(last)
		for fence := int64(1); fence < last.Fence; fence++ {
			if fences[fence] != 1 {
				t.Errorf("fence %d of %d was given out %d times", fence, last.Fence, fences[fence])
			}
		}
	}},
	{"refuses values that can't be stored", func(t *testing.T, x Index) {
		refusesWanted(t, x, "Claim", func(w ledger.Wanted) error { _, _, err := x.Change(t.Context(), ledger.Claim(w, long)); return err })
	}},
}
