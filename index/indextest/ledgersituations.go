package indextest

import (
	"fmt"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// situation is a row's state and times before a call.
type situation struct {
	name  string
	state ledger.State // empty: there is no row
	// claimable says whether it may be claimed with the margin; retriable, whether it
	// may be claimed only with Retry.
	claimable, retriable bool
	arrange              func(t testing.TB, x Index, w ledger.Wanted)
}

// margin is that of all claims in situations.
const margin = 10 * time.Hour

// situations lists all states, each with every difference that matters to a claim.
var situations = []situation{
	{"no row", "", true, true, func(testing.TB, Index, ledger.Wanted) {}},
	{"pending, due", ledger.StatePending, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		request(t, x, w)
	}},
	{"pending after an uncertain failure, due", ledger.StatePending, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		fail(t, x, claim(t, x, w, long), ledger.Failure{State: ledger.StatePending, Error: trouble(), MayTurnUp: true, Again: true})
	}},
	{"pending, due later", ledger.StatePending, false, true, func(t testing.TB, x Index, w ledger.Wanted) {
		fail(t, x, claim(t, x, w, long), ledger.Failure{State: ledger.StatePending, Error: trouble(), Again: true, After: long})
	}},
	{"pending, never due", ledger.StatePending, false, true, func(t testing.TB, x Index, w ledger.Wanted) {
		fail(t, x, claim(t, x, w, long), ledger.Failure{State: ledger.StatePending, Error: trouble()})
	}},
	{"uploading", ledger.StateUploading, false, false, func(t testing.TB, x Index, w ledger.Wanted) {
		claim(t, x, w, long)
	}},
	{"uploading, the lease ran out", ledger.StateUploading, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		claim(t, x, w, 0)
	}},
	{"uploading for the second time, the lease ran out", ledger.StateUploading, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		claim(t, x, w, 0)
		claim(t, x, w, 0)
	}},
	{"renewing, the lease ran out", ledger.StateUploading, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		complete(t, x, claim(t, x, w, long), file("old", providers.StatusReady, later(-long)))
		claim(t, x, w, 0)
	}},
	{"processing", ledger.StateProcessing, false, false, func(t testing.TB, x Index, w ledger.Wanted) {
		complete(t, x, claim(t, x, w, long), file("1", providers.StatusProcessing, later(2*long)))
	}},
	{"processing, the lease ran out", ledger.StateProcessing, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		complete(t, x, claim(t, x, w, 0), file("1", providers.StatusProcessing, later(2*long)))
	}},
	{"noted", ledger.StateUnverified, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		enter(t, x, w, "noted")
	}},
	{"noted and requested", ledger.StateUnverified, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		enter(t, x, w, "noted")
		request(t, x, w)
	}},
	{"being verified", ledger.StateUnverified, false, false, func(t testing.TB, x Index, w ledger.Wanted) {
		enter(t, x, w, "noted")
		claim(t, x, w, long)
	}},
	{"being verified, the lease ran out", ledger.StateUnverified, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		enter(t, x, w, "noted")
		claim(t, x, w, 0)
	}},
	{"ready permanently", ledger.StateReady, false, false, func(t testing.TB, x Index, w ledger.Wanted) {
		makeReady(t, x, w, "1")
	}},
	{"ready for long", ledger.StateReady, false, false, func(t testing.TB, x Index, w ledger.Wanted) {
		complete(t, x, claim(t, x, w, long), file("1", providers.StatusReady, later(long)))
	}},
	{"ready, near its end", ledger.StateReady, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		complete(t, x, claim(t, x, w, long), file("1", providers.StatusReady, later(margin/2)))
	}},
	{"ready, expired", ledger.StateReady, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		complete(t, x, claim(t, x, w, long), file("1", providers.StatusReady, later(-long)))
	}},
	{"ready, near its end, after a renewal that failed", ledger.StateReady, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		complete(t, x, claim(t, x, w, long), file("1", providers.StatusReady, later(margin/2)))
		w.Margin = margin
		fail(t, x, claim(t, x, w, long), ledger.Failure{State: ledger.StateReady, Error: trouble(), MayTurnUp: true, Again: true, After: long})
	}},
	{"failed permanently", ledger.StateFailed, false, true, func(t testing.TB, x Index, w ledger.Wanted) {
		fail(t, x, claim(t, x, w, long), ledger.Failure{State: ledger.StateFailed, Error: trouble()})
	}},
	{"failed, due later", ledger.StateFailed, false, true, func(t testing.TB, x Index, w ledger.Wanted) {
		fail(t, x, claim(t, x, w, long), ledger.Failure{State: ledger.StateFailed, Error: trouble(), Again: true, After: long})
	}},
	{"failed, due", ledger.StateFailed, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		fail(t, x, claim(t, x, w, long), ledger.Failure{State: ledger.StateFailed, Error: trouble(), MayTurnUp: true, Again: true})
	}},
	{"lost", ledger.StateLost, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		lose(t, x, makeReady(t, x, w, "1"), 3, long)
	}},
	{"lost too often", ledger.StateLost, false, true, func(t testing.TB, x Index, w ledger.Wanted) {
		lose(t, x, makeReady(t, x, w, "1"), 0, long)
	}},
	{"evicted", ledger.StateEvicted, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		finishDelete(t, x, startEviction(t, x, makeReady(t, x, w, "1")), ledger.StateEvicted)
	}},
	{"deleting", ledger.StateDeleting, false, false, func(t testing.TB, x Index, w ledger.Wanted) {
		makeReady(t, x, w, "1")
		startDelete(t, x, w.Key, "", long)
	}},
	{"deleting, the lease ran out", ledger.StateDeleting, false, false, func(t testing.TB, x Index, w ledger.Wanted) {
		makeReady(t, x, w, "1")
		startDelete(t, x, w.Key, "", 0)
	}},
	{"deleting, to be tried again", ledger.StateDeleting, false, false, func(t testing.TB, x Index, w ledger.Wanted) {
		makeReady(t, x, w, "1")
		c := startDelete(t, x, w.Key, "", long)
		if _, held, err := x.Change(t.Context(), ledger.FailDelete(c.Key, c.Fence, ledger.Failure{State: ledger.StateDeleting, Again: true})); err != nil || !held {
			t.Fatalf("FailDelete: held %v, error %v", held, err)
		}
	}},
	{"deleted", ledger.StateDeleted, true, true, func(t testing.TB, x Index, w ledger.Wanted) {
		makeReady(t, x, w, "1")
		use(t, x, map[ledger.Key]time.Time{w.Key: later(0)})
		finishDelete(t, x, startDelete(t, x, w.Key, "", long), ledger.StateDeleted)
	}},
}

// eachSituation runs a test in each situation, without and with Retry.
func eachSituation(t *testing.T, x Index, test func(t *testing.T, s situation, w ledger.Wanted, before ledger.Copy, claimable bool)) {
	for i, s := range situations {
		for j, retry := range []bool{false, true} {
			w := wanted(t, 2*i+j)
			s.arrange(t, x, w)
			before := current(t, x, w.Key, w.OperationID)
			if before.State != s.state {
				t.Fatalf("%s: the row is %q; want %q", s.name, before.State, s.state)
			}
			w = other(w)
			w.Margin, w.Retry = margin, retry
			t.Run(fmt.Sprintf("%s, retry %v", s.name, retry), func(t *testing.T) {
				test(t, s, w, before, s.claimable || retry && s.retriable)
			})
		}
	}
}
