package indextest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/scrubber"
)

// everything is a window with all digests.
var everything = scrubber.Window{To: cas.Digest(bytes.Repeat([]byte{0xff}, 32))}

// clock returns the index's time.
func clock(t *testing.T, x Index) time.Time {
	t.Helper()
	now, err := x.Clock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return now
}

// claimDue claims blobs of a state, whatever their last verification, and returns their
// digests.
func claimDue(t *testing.T, x Index, id string, state cas.State, limit int) (ds []cas.Digest, busy bool) {
	t.Helper()
	return claimBefore(t, x, id, scrubber.Due{State: state, Before: clock(t, x).Add(time.Hour), Window: everything, Limit: limit})
}

func claimBefore(t *testing.T, x Index, id string, due scrubber.Due) (ds []cas.Digest, busy bool) {
	t.Helper()
	blobs, busy, err := x.ClaimDue(t.Context(), scrubber.Claim{ID: id, Lease: time.Hour}, due)
	if err != nil {
		t.Fatalf("ClaimDue: %v", err)
	}
	for _, b := range blobs {
		if b.State != due.State || b.Size != size {
			t.Errorf("ClaimDue of %s blobs returned %+v", due.State, b)
		}
		ds = append(ds, b.Digest)
	}
	return ds, busy
}

// claimOne claims one blob.
func claimOne(t *testing.T, x Index, id string, d cas.Digest) cas.Blob {
	t.Helper()
	blobs, err := x.ClaimBlobs(t.Context(), scrubber.Claim{ID: id, Lease: time.Hour}, d)
	if err != nil || len(blobs) != 1 || blobs[0].Digest != d {
		t.Fatalf("ClaimBlobs returned %+v, error %v", blobs, err)
	}
	return blobs[0]
}

// finish calls FinishChecks with one check, and fails the test unless it counts as
// expected.
func finish(t *testing.T, x Index, claim string, ref cas.ObjectRef, v scrubber.Verdict, counts bool) {
	t.Helper()
	refs, err := x.FinishChecks(t.Context(), claim, scrubber.Check{ObjectRef: ref, Verdict: v})
	if err != nil || slices.Contains(refs, ref) != counts || len(refs) > 1 {
		t.Errorf("FinishChecks of a %s object returned %v, error %v; want counted %v", v, refs, err, counts)
	}
}

var scrubTests = []test{
	{"claims each blob once, the longest unverified first", func(t *testing.T, x Index) {
		for i := range 3 {
			setTimeOf(t, x, blob(digest(t, i), 0), cas.StateLive, time.UnixMicro(1_700_000_000_000_000).Add(time.Duration(5-i)*time.Hour))
		}
		for _, state := range []cas.State{cas.StateCondemned, cas.StateDeleting, cas.StateGone, cas.StateSuspect} {
			arrange(t, x, blob(cas.DigestOf([]byte(t.Name()+string(state))), 0), state)
		}
		for _, want := range [][]cas.Digest{{digest(t, 2)}, {digest(t, 1)}, {digest(t, 0)}} {
			got, busy := claimDue(t, x, "a", cas.StateLive, 1)
			same(t, "the claimed blob", got, want)
			if busy {
				t.Error("ClaimDue is busy though it claimed a blob")
			}
		}
		if got, busy := claimDue(t, x, "a", cas.StateLive, 1); len(got) != 0 || busy {
			t.Errorf("ClaimDue returned %v, busy %v, with all claimed by itself", got, busy)
		}
		if got, busy := claimDue(t, x, "b", cas.StateLive, 1); len(got) != 0 || !busy {
			t.Errorf("ClaimDue returned %v, busy %v, with all claimed by another", got, busy)
		}
		if got, _ := claimDue(t, x, "b", cas.StateSuspect, 10); len(got) != 1 {
			t.Errorf("ClaimDue returned %d suspect blobs", len(got))
		}
	}},
	{"claims blobs that were verified or created before a time", func(t *testing.T, x Index) {
		at := time.UnixMicro(1_700_000_000_000_000)
		created, verified := blob(digest(t, 0), 0), blob(digest(t, 1), 0)
		setTimeOf(t, x, created, cas.StateLive, at)
		setTimeOf(t, x, verified, cas.StateLive, at)
		claimOne(t, x, "a", verified.Digest)
		finish(t, x, "a", verified.Object(), scrubber.VerdictRight, true)
		due := scrubber.Due{State: cas.StateLive, Before: at.Add(-time.Microsecond), Window: everything, Limit: 10}
		if got, busy := claimBefore(t, x, "a", due); len(got) != 0 || busy {
			t.Errorf("ClaimDue returned %v, busy %v, with none due", got, busy)
		}
		due.Before = at
		got, _ := claimBefore(t, x, "a", due)
		same(t, "the blobs that were not verified since", got, []cas.Digest{created.Digest})
		got, _ = claimDue(t, x, "a", cas.StateLive, 10)
		same(t, "the blob that was", got, []cas.Digest{verified.Digest})
	}},
	{"claims blobs in a window", func(t *testing.T, x Index) {
		var low, high cas.Digest
		low[0], high[0] = 0x10, 0xf0
		commit(t, x, blob(low, 0))
		commit(t, x, blob(high, 0))
		for i, w := range []struct {
			from, to byte
			want     []cas.Digest
		}{
			{0x11, 0xef, nil}, {0x00, 0x20, []cas.Digest{low}}, {0x20, 0xff, []cas.Digest{high}}, {0xf0, 0x05, []cas.Digest{high}}, {0xf1, 0x11, []cas.Digest{low}},
		} {
			window := scrubber.Window{From: cas.Digest{w.from}, To: cas.Digest{w.to}}
			id := fmt.Sprint(i)
			got, _ := claimBefore(t, x, id, scrubber.Due{State: cas.StateLive, Before: clock(t, x).Add(time.Hour), Window: window, Limit: 10})
			same(t, fmt.Sprintf("the blobs from %x to %x", w.from, w.to), got, w.want)
			for _, d := range got {
				finish(t, x, id, cas.ObjectRef{Digest: d}, scrubber.VerdictNone, true)
			}
		}
	}},
	{"a claim runs out, and can be extended", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 0)
		commit(t, x, b)
		claim := func(id string, lease time.Duration) int {
			t.Helper()
			due := scrubber.Due{State: cas.StateLive, Before: clock(t, x).Add(time.Hour), Window: everything, Limit: 10}
			blobs, _, err := x.ClaimDue(t.Context(), scrubber.Claim{ID: id, Lease: lease}, due)
			if err != nil {
				t.Fatal(err)
			}
			return len(blobs)
		}
		extend := func(id string) {
			t.Helper()
			if err := x.ExtendClaim(t.Context(), scrubber.Claim{ID: id, Lease: time.Hour}, b.Digest, digest(t, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if claim("dead", time.Microsecond) != 1 || claim("next", time.Microsecond) != 1 {
			t.Error("a claim that has run out keeps others off")
		}
		extend("dead")
		if claim("third", time.Microsecond) != 1 {
			t.Error("a claim was extended that another scrub had taken")
		}
		extend("third")
		if claim("fourth", time.Hour) != 0 {
			t.Error("a claim was not extended")
		}
		finish(t, x, "dead", b.Object(), scrubber.VerdictDamaged, false)
		finish(t, x, "third", b.Object(), scrubber.VerdictRight, true)
		finish(t, x, "third", b.Object(), scrubber.VerdictRight, false)
	}},
	{"claims named blobs, even from others", func(t *testing.T, x Index) {
		live, suspected, hidden := blob(digest(t, 0), 2), blob(digest(t, 1), 0), blob(digest(t, 2), 0)
		arrange(t, x, live, cas.StateLive)
		arrange(t, x, suspected, cas.StateSuspect)
		arrange(t, x, hidden, cas.StateCondemned)
		claimDue(t, x, "a", cas.StateLive, 10)
		blobs, err := x.ClaimBlobs(t.Context(), scrubber.Claim{ID: "b", Lease: time.Hour}, live.Digest, suspected.Digest, hidden.Digest, digest(t, 3))
		if err != nil || len(blobs) != 2 {
			t.Fatalf("ClaimBlobs returned %+v, error %v", blobs, err)
		}
		finish(t, x, "a", live.Object(), scrubber.VerdictDamaged, false)
		finish(t, x, "b", live.Object(), scrubber.VerdictDamaged, true)
		finish(t, x, "b", suspected.Object(), scrubber.VerdictHealed, true)
		expect(t, x, live.Digest, cas.StateSuspect, 2)
		expect(t, x, suspected.Digest, cas.StateLive, 0)
	}},
	{"records each verdict", func(t *testing.T, x Index) {
		for i, c := range []struct {
			state   cas.State
			verdict scrubber.Verdict
			want    cas.State
			isDue   bool
		}{
			{cas.StateLive, scrubber.VerdictRight, cas.StateLive, false},
			{cas.StateLive, scrubber.VerdictHealed, cas.StateLive, false},
			{cas.StateLive, scrubber.VerdictDamaged, cas.StateSuspect, false},
			{cas.StateLive, scrubber.VerdictNone, cas.StateLive, true},
			{cas.StateSuspect, scrubber.VerdictRight, cas.StateSuspect, false},
			{cas.StateSuspect, scrubber.VerdictHealed, cas.StateLive, false},
			{cas.StateSuspect, scrubber.VerdictDamaged, cas.StateSuspect, false},
			{cas.StateSuspect, scrubber.VerdictNone, cas.StateSuspect, true},
		} {
			b := blob(digest(t, i), int32(i))
			arrange(t, x, b, c.state)
			before := clock(t, x)
			claimOne(t, x, "a", b.Digest)
			finish(t, x, "a", b.Object(), c.verdict, true)
			expect(t, x, b.Digest, c.want, int32(i))
			got, busy := claimBefore(t, x, "b", scrubber.Due{State: c.want, Before: before, Window: scrubber.Window{From: b.Digest, To: b.Digest}, Limit: 1})
			if busy || (len(got) == 1) != c.isDue {
				t.Errorf("a %s blob found %s: due %v, busy %v; want due %v", c.state, c.verdict, len(got) == 1, busy, c.isDue)
			}
		}
	}},
	{"a commit ends the claim", func(t *testing.T, x Index) {
		for i, state := range []cas.State{cas.StateLive, cas.StateSuspect, cas.StateCondemned, cas.StateDeleting, cas.StateGone} {
			b := blob(digest(t, i), 1)
			commit(t, x, b)
			claimOne(t, x, "a", b.Digest)
			switch state {
			case cas.StateSuspect:
				suspect(t, x, b.Object())
			case cas.StateCondemned, cas.StateDeleting, cas.StateGone:
				condemn(t, x, b.Digest)
			}
			if state == cas.StateDeleting || state == cas.StateGone {
				startOne(t, x)
				b.Generation++
			}
			if state == cas.StateGone {
				if err := x.FinishDeleting(t.Context(), cas.ObjectRef{Digest: b.Digest, Generation: 1}); err != nil {
					t.Fatal(err)
				}
			}
			commit(t, x, b)
			finish(t, x, "a", b.Object(), scrubber.VerdictDamaged, false)
			finish(t, x, "a", cas.ObjectRef{Digest: b.Digest, Generation: 1}, scrubber.VerdictDamaged, false)
			expect(t, x, b.Digest, cas.StateLive, b.Generation)
		}
	}},
	{"leaves blobs alone that were deleted, or have another generation", func(t *testing.T, x Index) {
		b, other := blob(digest(t, 0), 0), blob(digest(t, 1), 3)
		commit(t, x, b)
		commit(t, x, other)
		claimOne(t, x, "a", b.Digest)
		claimOne(t, x, "a", other.Digest)
		condemn(t, x, b.Digest)
		finish(t, x, "a", b.Object(), scrubber.VerdictDamaged, false)
		finish(t, x, "a", b.Object(), scrubber.VerdictHealed, false)
		finish(t, x, "a", cas.ObjectRef{Digest: other.Digest, Generation: 2}, scrubber.VerdictDamaged, false)
		finish(t, x, "a", cas.ObjectRef{Digest: digest(t, 2)}, scrubber.VerdictDamaged, false)
		expect(t, x, b.Digest, cas.StateCondemned, 0)
		expect(t, x, other.Digest, cas.StateLive, 3)
	}},
	{"of many scrubs each blob is claimed by one", func(t *testing.T, x Index) {
		const blobs, scrubs = 40, 4
		for i := range blobs {
			commit(t, x, blob(digest(t, i), 0))
		}
		claimed := make([][]cas.Digest, scrubs)
		due := scrubber.Due{State: cas.StateLive, Before: clock(t, x).Add(time.Hour), Window: everything, Limit: 7}
		together(scrubs, func(i int) {
			for {
				batch, busy, err := x.ClaimDue(t.Context(), scrubber.Claim{ID: fmt.Sprint(i), Lease: time.Hour}, due)
				if err != nil {
					t.Errorf("ClaimDue: %v", err)
					return
				}
				for _, b := range batch {
					claimed[i] = append(claimed[i], b.Digest)
				}
				if len(batch) == 0 {
					_ = busy // others hold the remaining claims
					return
				}
			}
		})
		seen := map[cas.Digest]int{}
		for _, ds := range claimed {
			for _, d := range ds {
				seen[d]++
			}
		}
		for d, n := range seen {
			if n != 1 {
				t.Errorf("%s was claimed %d times", d.Short(), n)
			}
		}
		// Rows that were locked are skipped; the next claim takes them.
		left, _ := claimDue(t, x, "last", cas.StateLive, blobs)
		if len(seen)+len(left) != blobs {
			t.Errorf("%d and %d of %d blobs were claimed", len(seen), len(left), blobs)
		}
	}},
	{"describes the verification of all blobs", func(t *testing.T, x Index) {
		if s, err := x.ScrubState(t.Context()); err != nil || s.Blobs != 0 || !s.Oldest.IsZero() {
			t.Errorf("the state of an empty index: %+v, error %v", s, err)
		}
		at := time.UnixMicro(1_700_000_000_000_000).UTC()
		setTimeOf(t, x, blob(digest(t, 0), 0), cas.StateLive, at)
		setTimeOf(t, x, blob(digest(t, 1), 0), cas.StateLive, at.Add(time.Hour))
		setTimeOf(t, x, blob(digest(t, 2), 0), cas.StateCondemned, at.Add(-time.Hour))
		b := blob(digest(t, 3), 4)
		setTimeOf(t, x, b, cas.StateSuspect, at.Add(-time.Hour))
		claimOne(t, x, "a", digest(t, 1))
		s, err := x.ScrubState(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Damaged) != 1 || s.Damaged[0].Object() != b.Object() {
			t.Errorf("the suspect blobs: %+v", s.Damaged)
		}
		s.Damaged = nil
		same(t, "the state", s, scrubber.State{Blobs: 3, Suspect: 1, Claimed: 1, Oldest: at})
	}},
	{"one scrub by command has the lease", func(t *testing.T, x Index) {
		if run, running, err := x.LastScrub(t.Context()); err != nil || running || run.ID != "" {
			t.Errorf("the last scrub of none: %+v, running %v, error %v", run, running, err)
		}
		at := time.UnixMilli(1_700_000_000_000).UTC()
		one := scrubber.Run{ID: "one", StartedAt: at, Before: at, Window: everything, Position: scrubber.Position{CreatedAt: at, Digest: digest(t, 0)}, Blobs: 3}
		for _, c := range []struct {
			run   scrubber.Run
			lease time.Duration
			want  bool
		}{{one, time.Hour, true}, {scrubber.Run{ID: "other"}, time.Hour, false}, {one, 0, true}} {
			if held, err := x.SaveScrub(t.Context(), c.run, c.lease); err != nil || held != c.want {
				t.Errorf("SaveScrub of %s: held %v, error %v; want %v", c.run.ID, held, err, c.want)
			}
		}
		run, running, err := x.LastScrub(t.Context())
		if err != nil || running {
			t.Errorf("LastScrub: running %v, error %v", running, err)
		}
		same(t, "the last scrub", run, one)
		// It is no collection.
		if run, _, err := x.LastRun(t.Context()); err != nil || run.ID != "" {
			t.Errorf("the last collection: %+v, error %v", run, err)
		}
	}},
}
