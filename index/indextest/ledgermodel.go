package indextest

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

var ledgerModelTests = []test{
	{"agrees with the ledger through random histories", func(t *testing.T, x Index) {
		histories := 0
		rapid.Check(t, func(rt *rapid.T) {
			// Blobs, an account and a provider of its own for each history; the index stays
			// the same.
			histories++
			m := &ledgerModel{t: t, x: x, rows: map[ledger.Key]ledger.Copy{}}
			for i, extension := range []string{"", ".pdf", ".txt"} {
				m.keys = append(m.keys, ledger.Key{
					Digest:   cas.DigestOf(fmt.Appendf(nil, "%s %d %d", t.Name(), histories, i/2)),
					Provider: fmt.Sprint("provider ", histories), Account: fmt.Sprint("account ", histories),
					Purpose: []string{"agent", "batch", "agent"}[i], Extension: extension,
				})
			}
			rt.Repeat(map[string]func(*rapid.T){
				"enter":        m.enter,
				"request":      m.request,
				"claim":        m.claim,
				"extend":       m.extend,
				"complete":     m.complete,
				"fail":         m.fail,
				"lose":         m.lose,
				"delete":       m.delete,
				"finishDelete": m.finishDelete,
				"failDelete":   m.failDelete,
				"evict":        m.evict,
				"look":         m.look,
				"":             m.check,
			})
		})
	}},
}

// ledgerModel implements the contract over a map. It does not call the transitions of
// package ledger, so that it can find their faults. Of a row's times it knows only
// whether they are unset, past, or far in the future.
type ledgerModel struct {
	t    *testing.T
	x    Index
	keys []ledger.Key
	rows map[ledger.Key]ledger.Copy
	next int // numbers operations and files
}

// The times of the model.
var (
	over   = time.Unix(1, 0).UTC()
	farOff = time.Unix(2, 0).UTC()
)

// rough is a row with its times as the model has them, and without those that it
// doesn't follow.
func rough(c ledger.Copy) ledger.Copy {
	times := []*time.Time{&c.ExpiresAt, &c.NextAttemptAt, &c.LeaseUntil, &c.LookAt}
	c.Strays = slices.Clone(c.Strays)
	for i := range c.Strays {
		times = append(times, &c.Strays[i].At, &c.Strays[i].KeepUntil)
	}
	for _, t := range times {
		switch {
		case t.IsZero():
		case time.Until(*t) > long/2:
			*t = farOff
		default:
			*t = over
		}
	}
	c.CreatedAt, c.UploadedAt, c.ReadyAt, c.LastUsedAt, c.LostAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return c
}

// after is the time of the model that comes this long after now.
func after(d time.Duration) time.Time {
	if d > 0 {
		return farOff
	}
	return over
}

// leased reports whether a lease runs, in the model.
func leased(c ledger.Copy) bool { return c.LeaseUntil.Equal(farOff) }

// alike reports whether two rough rows are the same, with strays in any order: much
// faster than a diff would find out.
func alike(a, b ledger.Copy) bool { return reflect.DeepEqual(ordered(a), ordered(b)) }

// ordered returns a row with its strays in order.
func ordered(c ledger.Copy) ledger.Copy {
	c.Strays = slices.Clone(c.Strays)
	slices.SortFunc(c.Strays, func(a, b ledger.Stray) int {
		return cmp.Or(cmp.Compare(a.Fence, b.Fence), strings.Compare(a.FileID, b.FileID))
	})
	return c
}

// withStray adds a stray: there is one for each attempt, and one for each file.
func withStray(c ledger.Copy, s ledger.Stray) ledger.Copy {
	kept := []ledger.Stray{s}
	for _, other := range c.Strays {
		switch {
		case s.FileID != "" && other.FileID == s.FileID, s.FileID == "" && other.FileID == "" && other.Fence == s.Fence:
			if other.At.After(s.At) {
				kept[0].At = other.At
			}
		default:
			kept = append(kept, other)
		}
	}
	c.Strays, c.LookAt = kept, over
	return c
}

// withoutFile gives up the file of a row, unless somebody else may have made it.
func withoutFile(c ledger.Copy) ledger.Copy {
	if c.FileID != "" && c.State != ledger.StateUnverified {
		c = withStray(c, ledger.Stray{FileID: c.FileID, At: over})
	}
	c.FileID, c.RemoteName, c.ExpiresAt = "", "", time.Time{}
	return c
}

// afterUpload is a row that is taken over from the upload that runs, or may run.
func afterUpload(c ledger.Copy) ledger.Copy {
	if c.State == ledger.StateUploading {
		return withStray(c, ledger.Stray{Fence: c.Fence, At: c.LeaseUntil})
	}
	return c
}

// looked is a row whose next look fits its state.
func looked(c ledger.Copy) ledger.Copy {
	switch c.State {
	case ledger.StateReady, ledger.StateFailed, ledger.StateLost, ledger.StateEvicted, ledger.StateDeleted:
		if len(c.Strays) > 0 {
			c.LookAt = cmp.Or(c.LookAt, over)
			return c
		}
	}
	c.LookAt = time.Time{}
	return c
}

// agree fails unless the ledger returned this row.
func (m *ledgerModel) agree(t *rapid.T, what string, got ledger.Copy, err error, want ledger.Copy) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: error %v; want %+v", what, err, want)
	}
	if got := rough(got); !alike(got, want) {
		t.Fatalf("%s: the row is not as it should be (-want +got):\n%s", what, gocmp.Diff(want, got))
	}
}

// missing fails unless the error says that there is no row.
func (m *ledgerModel) missing(t *rapid.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, ledger.ErrNotFound) {
		t.Fatalf("%s: error %v; want ledger.ErrNotFound", what, err)
	}
}

// pick draws a key, its row, and a fence: mostly the row's.
func (m *ledgerModel) pick(t *rapid.T) (k ledger.Key, row ledger.Copy, found bool, fence int64) {
	k = rapid.SampledFrom(m.keys).Draw(t, "key")
	row, found = m.rows[k]
	return k, row, found, row.Fence + rapid.SampledFrom([]int64{0, 0, 0, -1, 1}).Draw(t, "fence")
}

// wanted draws a request for a copy.
func (m *ledgerModel) wanted(t *rapid.T, k ledger.Key) ledger.Wanted {
	m.next++
	return ledger.Wanted{
		Key: k, Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"), MediaType: "text/plain",
		Size: rapid.Int64Range(0, 9).Draw(t, "size"), OperationID: fmt.Sprintf("%s %d", k.Account, m.next),
		Margin: rapid.SampledFrom([]time.Duration{0, 2 * long}).Draw(t, "margin"), Retry: rapid.Bool().Draw(t, "retry"),
		Existing: rapid.Bool().Draw(t, "existing"),
	}
}

func drawLease(t *rapid.T) time.Duration {
	return rapid.SampledFrom([]time.Duration{0, long}).Draw(t, "lease")
}

// claimable is the table of the contract.
func claimable(c ledger.Copy, w ledger.Wanted) bool {
	due := w.Retry || c.NextAttemptAt.Equal(over)
	switch c.State {
	case "", ledger.StateEvicted:
		return true
	case ledger.StateDeleted:
		return !w.Existing
	case ledger.StatePending:
		return due && !leased(c)
	case ledger.StateUploading, ledger.StateProcessing, ledger.StateUnverified:
		return !leased(c)
	case ledger.StateReady:
		return c.ExpiresAt.Equal(over) || c.ExpiresAt.Equal(farOff) && w.Margin > long
	case ledger.StateFailed, ledger.StateLost:
		return due
	}
	return false
}

// operationOf is the operation of a row once it is asked for by w: the one that
// asked for it first.
func operationOf(c ledger.Copy, w ledger.Wanted) string {
	if c.IsAskedFor() {
		return c.OperationID
	}
	return w.OperationID
}

func (m *ledgerModel) request(t *rapid.T) {
	k, row, _, _ := m.pick(t)
	w := m.wanted(t, k)
	if operation := operationOf(row, w); claimable(row, w) && row.State != ledger.StateProcessing {
		row = afterUpload(row)
		if row.State != ledger.StateUnverified {
			row.State = ledger.StatePending
		}
		row.Key, row.Name, row.MediaType, row.Size, row.LaterDeletes = k, w.Name, w.MediaType, w.Size, nil
		row.OperationID = operation
		row.Attempts, row.Error, row.NextAttemptAt, row.LeaseUntil = 0, nil, over, time.Time{}
		row = looked(row)
		m.rows[k] = row
	}
	got, _, err := m.x.Change(m.t.Context(), ledger.Request(w))
	m.agree(t, "Request", got, err, row)
}

func (m *ledgerModel) enter(t *rapid.T) {
	k, row, found, _ := m.pick(t)
	w := m.wanted(t, k)
	if !found {
		row = ledger.Copy{
			Key: k, State: ledger.StateUnverified, FileID: fmt.Sprint("noted ", m.next),
			Name: w.Name, MediaType: w.MediaType, Size: w.Size, OperationID: w.OperationID,
		}
		m.rows[k] = row
	}
	got, _, err := m.x.Change(m.t.Context(), ledger.Enter(w, fmt.Sprint("noted ", m.next)))
	m.agree(t, "Enter", got, err, row)
}

func (m *ledgerModel) claim(t *rapid.T) {
	k, row, _, _ := m.pick(t)
	w, lease := m.wanted(t, k), drawLease(t)
	wins := claimable(row, w)
	if wins {
		row = afterUpload(row)
		row.OperationID = operationOf(row, w)
		switch row.State {
		case ledger.StateProcessing, ledger.StateUnverified, ledger.StateUploading:
		case ledger.StatePending:
			row.Attempts++
			row.State = ledger.StateUploading
		default:
			row.Attempts = 1
			row.State = ledger.StateUploading
		}
		row.Key, row.Name, row.MediaType, row.Size, row.LaterDeletes = k, w.Name, w.MediaType, w.Size, nil
		row.Fence, row.NextAttemptAt, row.LeaseUntil = row.Fence+1, time.Time{}, after(lease)
		row = looked(row)
		m.rows[k] = row
	}
	got, won, err := m.x.Change(m.t.Context(), ledger.Claim(w, lease))
	m.agree(t, "Claim", got, err, row)
	if won != wins {
		t.Fatalf("Claim: won %v; want %v", won, wins)
	}
}

func (m *ledgerModel) extend(t *rapid.T) {
	k, row, found, fence := m.pick(t)
	lease := drawLease(t)
	holds := found && row.Fence == fence && !row.LeaseUntil.IsZero()
	_, held, err := m.x.Change(m.t.Context(), ledger.ExtendLease(k, fence, lease))
	if !found {
		m.missing(t, "ExtendLease", err)
		return
	}
	if holds {
		row.LeaseUntil = after(lease)
		m.rows[k] = row
	}
	if err != nil || held != holds {
		t.Fatalf("ExtendLease: held %v, error %v; want %v", held, err, holds)
	}
}

// settle compares the outcome of a call with a fence.
func (m *ledgerModel) settle(t *rapid.T, what string, got ledger.Copy, held bool, err error, want ledger.Copy, found, holds bool) {
	t.Helper()
	if !found {
		m.missing(t, what, err)
		return
	}
	m.rows[want.Key] = want
	m.agree(t, what, got, err, want)
	if held != holds {
		t.Fatalf("%s: held %v; want %v", what, held, holds)
	}
}

func atWork(c ledger.Copy, fence int64) bool {
	return c.Fence == fence && !c.LeaseUntil.IsZero() && c.State != ledger.StateDeleting
}

func (m *ledgerModel) complete(t *rapid.T) {
	k, row, found, fence := m.pick(t)
	m.next++
	expires := rapid.SampledFrom([]time.Duration{0, -long, long}).Draw(t, "expires")
	f := file(fmt.Sprint("file ", m.next), rapid.SampledFrom([]providers.Status{providers.StatusReady, providers.StatusProcessing}).Draw(t, "status"), time.Time{})
	if row.FileID != "" && rapid.Bool().Draw(t, "the same file") {
		f.ID = row.FileID
	} else if ids := fileIDs(row); len(ids) > 0 && rapid.Bool().Draw(t, "a file given up") {
		f.ID = rapid.SampledFrom(ids).Draw(t, "given up")
	}
	if expires != 0 {
		f.ExpiresAt = later(expires)
	}
	holds := atWork(row, fence) && !slices.ContainsFunc(row.Strays, func(s ledger.Stray) bool { return s.FileID == f.ID })
	if holds {
		if row.FileID != f.ID {
			old := row
			row = withoutFile(row)
			if old.State == ledger.StateUploading && old.ExpiresAt.Equal(farOff) { // a renewal
				for i := range row.Strays {
					if row.Strays[i].FileID == old.FileID {
						row.Strays[i].KeepUntil = farOff
					}
				}
			}
		}
		row.State = ledger.StateProcessing
		if f.Status == providers.StatusReady {
			row.State, row.LeaseUntil, row.Attempts = ledger.StateReady, time.Time{}, 0
		}
		row.FileID, row.RemoteName, row.ExpiresAt = f.ID, f.Name, rough(ledger.Copy{ExpiresAt: f.ExpiresAt}).ExpiresAt
		row.Error, row.NextAttemptAt = nil, time.Time{}
		row = looked(row)
	} else {
		holds = found && row.Fence == fence && row.State == ledger.StateReady && row.FileID == f.ID // said before
	}
	got, held, err := m.x.Change(m.t.Context(), ledger.Complete(k, fence, f))
	m.settle(t, "Complete", got, held, err, row, found, holds)
}

// failure draws one.
func (m *ledgerModel) failure(t *rapid.T, states ...ledger.State) ledger.Failure {
	return ledger.Failure{
		State: rapid.SampledFrom(states).Draw(t, "to"),
		Error: rapid.SampledFrom([]*providers.Error{nil, trouble()}).Draw(t, "error"),
		Again: rapid.Bool().Draw(t, "again"), After: drawLease(t),
	}
}

// failed is a row after a failure, in whatever state.
func failed(c ledger.Copy, f ledger.Failure) ledger.Copy {
	c.Error, c.LeaseUntil, c.NextAttemptAt = f.Error, time.Time{}, time.Time{}
	if f.Again {
		c.NextAttemptAt = after(f.After)
	}
	return c
}

func (m *ledgerModel) fail(t *rapid.T) {
	k, row, found, fence := m.pick(t)
	f := m.failure(t, ledger.StatePending, ledger.StatePending, ledger.StateFailed, ledger.StateReady, ledger.StateDeleting)
	f.MayTurnUp = rapid.Bool().Draw(t, "may turn up")
	m.next++
	f.GivenUp = rapid.SampledFrom([]string{"", "", row.FileID, fmt.Sprint("file ", m.next)}).Draw(t, "given up")
	holds := atWork(row, fence)
	if holds && f.State == ledger.StateReady && (row.State != ledger.StateUploading || row.FileID == "") {
		if _, _, err := m.x.Change(m.t.Context(), ledger.Fail(k, fence, f)); err == nil || errors.Is(err, cas.ErrIndexUnavailable) {
			t.Fatalf("Fail to ready without an earlier file: error %v", err)
		}
		return
	}
	if holds {
		row = failed(row, f)
		switch {
		case f.State == ledger.StateReady:
		case row.State == ledger.StateProcessing && f.MayTurnUp:
			row.FileID, row.RemoteName, row.ExpiresAt = "", "", time.Time{}
		default:
			row = withoutFile(row)
		}
		row.State = f.State
		if f.MayTurnUp {
			row = withStray(row, ledger.Stray{Fence: fence, At: over})
		}
		if f.GivenUp != "" {
			row = withStray(row, ledger.Stray{Fence: fence, FileID: f.GivenUp, At: over})
		}
		row = looked(row)
	}
	holds = holds || row.Fence == fence && row.State == f.State // said before
	got, held, err := m.x.Change(m.t.Context(), ledger.Fail(k, fence, f))
	m.settle(t, "Fail", got, held, err, row, found, holds)
}

func (m *ledgerModel) lose(t *rapid.T) {
	k, row, found, _ := m.pick(t)
	id := rapid.SampledFrom([]string{row.FileID, row.FileID, "another"}).Draw(t, "file")
	allowed := rapid.IntRange(0, 3).Draw(t, "allowed")
	got, _, err := m.x.Change(m.t.Context(), ledger.Lose(k, id, allowed, long))
	if !found || row.State == ledger.StateDeleted {
		m.missing(t, "Lose", err)
		return
	}
	if (row.State == ledger.StateReady || row.State == ledger.StateProcessing) && row.FileID == id {
		row = withoutFile(row)
		row.State = ledger.StateLost
		row.Losses++
		row.LeaseUntil, row.NextAttemptAt = time.Time{}, over
		if row.Losses > allowed {
			row.NextAttemptAt = farOff
		}
		m.rows[k] = row
	}
	m.agree(t, "Lose", got, err, row)
}

// deleting is a row claimed to be deleted.
func deleting(c ledger.Copy, lease time.Duration) ledger.Copy {
	c = afterUpload(c)
	if c.State != ledger.StateDeleting {
		c.Error, c.Attempts, c.LaterDeletes = nil, 0, nil
	}
	c.State, c.Fence = ledger.StateDeleting, c.Fence+1
	c.LeaseUntil, c.NextAttemptAt = after(lease), after(lease)
	return looked(c)
}

func (m *ledgerModel) delete(t *rapid.T) {
	k, row, found, _ := m.pick(t)
	lease := drawLease(t)
	var operation string
	if rapid.Bool().Draw(t, "with an operation") {
		m.next++
		operation = fmt.Sprintf("%s %d", k.Account, m.next)
	}
	got, won, err := m.x.Change(m.t.Context(), ledger.Delete(k, operation, lease))
	if !found || row.State == ledger.StateDeleted {
		m.missing(t, "Delete", err)
		return
	}
	wins := row.State != ledger.StateDeleting || !leased(row)
	if wins {
		asked := row.State == ledger.StateDeleting && !row.Evicting && operation != ""
		row.Evicting = row.Evicting && operation == ""
		row = deleting(row, lease)
		if asked {
			row.LaterDeletes = append(slices.Clone(row.LaterDeletes), operation)
		} else {
			row.OperationID = cmp.Or(operation, row.OperationID)
		}
		m.rows[k] = row
	}
	m.agree(t, "Delete", got, err, row)
	if won != wins {
		t.Fatalf("Delete: won %v; want %v", won, wins)
	}
}

func (m *ledgerModel) finishDelete(t *rapid.T) {
	k, row, found, fence := m.pick(t)
	to := rapid.SampledFrom([]ledger.State{ledger.StateDeleted, ledger.StateEvicted}).Draw(t, "to")
	settling := drawLease(t)
	_, held, err := m.x.Change(m.t.Context(), ledger.FinishDelete(k, fence, to, settling))
	if !found {
		m.missing(t, "FinishDelete", err)
		return
	}
	holds := row.Fence == fence && row.State == ledger.StateDeleting
	for _, s := range row.Strays {
		holds = holds && (to == ledger.StateEvicted || s.FileID == "" && s.At.Equal(over) && settling == 0)
	}
	if holds {
		row.FileID, row.RemoteName, row.ExpiresAt = "", "", time.Time{}
		if to == ledger.StateDeleted || row.Evicting {
			row.State, row.Error, row.Evicting = to, nil, false
			row.LeaseUntil, row.NextAttemptAt = time.Time{}, time.Time{}
			row = looked(row)
		}
		m.rows[k] = row
	}
	holds = holds || row.Fence == fence && row.State == to // said before
	if err != nil || held != holds {
		t.Fatalf("FinishDelete: held %v, error %v; want %v", held, err, holds)
	}
}

func (m *ledgerModel) failDelete(t *rapid.T) {
	k, row, found, fence := m.pick(t)
	f := m.failure(t, ledger.StateDeleting)
	f.Attempted = rapid.Bool().Draw(t, "attempted")
	holds := found && row.Fence == fence && row.State == ledger.StateDeleting
	if holds {
		row = failed(row, f)
		if f.Attempted {
			row.Attempts++
		}
	}
	got, held, err := m.x.Change(m.t.Context(), ledger.FailDelete(k, fence, f))
	m.settle(t, "FailDelete", got, held, err, row, found, holds)
}
