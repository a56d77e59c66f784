package indextest

import (
	"fmt"
	"testing"
	"time"

	"casgate/providers"
)

// situation is what a row can be found in.
type situation struct {
	name  string
	state providers.State // empty: there is no row
	// claimable says whether it may be claimed for what margin wants, and if not,
	// retriable whether it may be with Retry.
	claimable, retriable bool
	arrange              func(t testing.TB, x Index, w providers.Wanted)
}

// margin is that of all claims in situations.
const margin = 10 * time.Hour

// situations lists all states, and in each what makes a difference to a claim.
var situations = []situation{
	{"no row", "", true, true, func(testing.TB, Index, providers.Wanted) {}},
	{"pending, due", providers.StatePending, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		request(t, x, w)
	}},
	{"pending after an uncertain failure, due", providers.StatePending, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		fail(t, x, claim(t, x, w, long), providers.Failure{State: providers.StatePending, Error: trouble(), Uncertain: true, Again: true})
	}},
	{"pending, due later", providers.StatePending, false, true, func(t testing.TB, x Index, w providers.Wanted) {
		fail(t, x, claim(t, x, w, long), providers.Failure{State: providers.StatePending, Error: trouble(), Again: true, After: long})
	}},
	{"pending, never due", providers.StatePending, false, true, func(t testing.TB, x Index, w providers.Wanted) {
		fail(t, x, claim(t, x, w, long), providers.Failure{State: providers.StatePending, Error: trouble()})
	}},
	{"uploading", providers.StateUploading, false, false, func(t testing.TB, x Index, w providers.Wanted) {
		claim(t, x, w, long)
	}},
	{"uploading, the lease ran out", providers.StateUploading, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		claim(t, x, w, 0)
	}},
	{"uploading for the second time, the lease ran out", providers.StateUploading, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		claim(t, x, w, 0)
		claim(t, x, w, 0)
	}},
	{"renewing, the lease ran out", providers.StateUploading, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		complete(t, x, claim(t, x, w, long), file("old", providers.StatusReady, later(-long)))
		claim(t, x, w, 0)
	}},
	{"processing", providers.StateProcessing, false, false, func(t testing.TB, x Index, w providers.Wanted) {
		complete(t, x, claim(t, x, w, long), file("1", providers.StatusProcessing, later(2*long)))
	}},
	{"processing, the lease ran out", providers.StateProcessing, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		complete(t, x, claim(t, x, w, 0), file("1", providers.StatusProcessing, later(2*long)))
	}},
	{"noted", providers.StateUnverified, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		enter(t, x, w, "noted")
	}},
	{"noted and requested", providers.StateUnverified, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		enter(t, x, w, "noted")
		request(t, x, w)
	}},
	{"being verified", providers.StateUnverified, false, false, func(t testing.TB, x Index, w providers.Wanted) {
		enter(t, x, w, "noted")
		claim(t, x, w, long)
	}},
	{"being verified, the lease ran out", providers.StateUnverified, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		enter(t, x, w, "noted")
		claim(t, x, w, 0)
	}},
	{"ready for good", providers.StateReady, false, false, func(t testing.TB, x Index, w providers.Wanted) {
		makeReady(t, x, w, "1")
	}},
	{"ready for long", providers.StateReady, false, false, func(t testing.TB, x Index, w providers.Wanted) {
		complete(t, x, claim(t, x, w, long), file("1", providers.StatusReady, later(long)))
	}},
	{"ready, near its end", providers.StateReady, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		complete(t, x, claim(t, x, w, long), file("1", providers.StatusReady, later(margin/2)))
	}},
	{"ready, expired", providers.StateReady, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		complete(t, x, claim(t, x, w, long), file("1", providers.StatusReady, later(-long)))
	}},
	{"ready, near its end, after a renewal that failed", providers.StateReady, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		complete(t, x, claim(t, x, w, long), file("1", providers.StatusReady, later(margin/2)))
		w.Margin = margin
		fail(t, x, claim(t, x, w, long), providers.Failure{State: providers.StateReady, Error: trouble(), Uncertain: true, Again: true, After: long})
	}},
	{"failed for good", providers.StateFailed, false, true, func(t testing.TB, x Index, w providers.Wanted) {
		fail(t, x, claim(t, x, w, long), providers.Failure{State: providers.StateFailed, Error: trouble()})
	}},
	{"failed, due later", providers.StateFailed, false, true, func(t testing.TB, x Index, w providers.Wanted) {
		fail(t, x, claim(t, x, w, long), providers.Failure{State: providers.StateFailed, Error: trouble(), Again: true, After: long})
	}},
	{"failed, due", providers.StateFailed, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		fail(t, x, claim(t, x, w, long), providers.Failure{State: providers.StateFailed, Error: trouble(), Uncertain: true, Again: true})
	}},
	{"lost", providers.StateLost, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		lose(t, x, makeReady(t, x, w, "1"), 3, long)
	}},
	{"lost too often", providers.StateLost, false, true, func(t testing.TB, x Index, w providers.Wanted) {
		lose(t, x, makeReady(t, x, w, "1"), 0, long)
	}},
	{"evicted", providers.StateEvicted, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		makeReady(t, x, w, "1")
		finishDelete(t, x, startDelete(t, x, w.Key, "", long), providers.StateEvicted)
	}},
	{"deleting", providers.StateDeleting, false, false, func(t testing.TB, x Index, w providers.Wanted) {
		makeReady(t, x, w, "1")
		startDelete(t, x, w.Key, "", long)
	}},
	{"deleting, the lease ran out", providers.StateDeleting, false, false, func(t testing.TB, x Index, w providers.Wanted) {
		makeReady(t, x, w, "1")
		startDelete(t, x, w.Key, "", 0)
	}},
	{"deleting, to be tried again", providers.StateDeleting, false, false, func(t testing.TB, x Index, w providers.Wanted) {
		makeReady(t, x, w, "1")
		c := startDelete(t, x, w.Key, "", long)
		if _, held, err := x.FailDelete(t.Context(), c.Key, c.Fence, providers.Failure{State: providers.StateDeleting, Again: true}); err != nil || !held {
			t.Fatalf("FailDelete: held %v, error %v", held, err)
		}
	}},
	{"deleted", providers.StateDeleted, true, true, func(t testing.TB, x Index, w providers.Wanted) {
		makeReady(t, x, w, "1")
		use(t, x, map[providers.Key]time.Time{w.Key: later(0)})
		finishDelete(t, x, startDelete(t, x, w.Key, "", long), providers.StateDeleted)
	}},
}

// eachSituation runs a test in each situation, without and with Retry.
func eachSituation(t *testing.T, x Index, test func(t *testing.T, s situation, w providers.Wanted, before providers.Copy, claimable bool)) {
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
