package indextest

import (
	"slices"
	"testing"
	"time"

	"casgate/cas"
)

// sortRefs brings objects into an order that doesn't depend on the index.
func sortRefs(refs []cas.ObjectRef) []cas.ObjectRef {
	slices.SortFunc(refs, func(a, b cas.ObjectRef) int { return slices.Compare(a.Digest[:], b.Digest[:]) })
	return refs
}

var collectTests = []test{
	{"takes condemned blobs, each once, and nothing else", func(t *testing.T, x Index) {
		var want []cas.ObjectRef
		for i, state := range states {
			b := blob(digest(t, i), int32(i))
			if state == cas.StateCondemned {
				continue // arranging others would take it
			}
			arrange(t, x, b, state)
		}
		for i := range 3 {
			b := blob(digest(t, 100+i), int32(i))
			arrange(t, x, b, cas.StateCondemned)
			want = append(want, b.Object())
		}
		got, err := StartDeleting(t.Context(), x, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the objects that StartDeleting took", sortRefs(got), sortRefs(want))
		if again, err := StartDeleting(t.Context(), x, 0, 10); err != nil || len(again) != 0 {
			t.Errorf("StartDeleting took %v again, error %v", again, err)
		}
		for i, state := range states {
			if state != cas.StateCondemned {
				expect(t, x, digest(t, i), state, int32(i))
			}
		}
		for _, ref := range want {
			expect(t, x, ref.Digest, cas.StateDeleting, ref.Generation)
		}
	}},
	{"keeps to the limit", func(t *testing.T, x Index) {
		for i := range 5 {
			arrange(t, x, blob(digest(t, i), 0), cas.StateCondemned)
		}
		total := 0
		for _, want := range []int{2, 2, 1, 0} {
			refs, err := StartDeleting(t.Context(), x, 0, 2)
			if err != nil || len(refs) != want {
				t.Fatalf("StartDeleting took %d after %d, error %v; want %d", len(refs), total, err, want)
			}
			total += len(refs)
		}
	}},
	{"leaves a blob its grace", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 0)
		arrange(t, x, b, cas.StateCondemned)
		if refs, err := StartDeleting(t.Context(), x, time.Hour, 10); err != nil || len(refs) != 0 {
			t.Errorf("StartDeleting took %v, error %v", refs, err)
		}
		expect(t, x, b.Digest, cas.StateCondemned, 0)
	}},
	{"takes blobs after their grace period, the longest condemned first", func(t *testing.T, x Index) {
		for i, ago := range []time.Duration{61, 63, 62} {
			b := blob(digest(t, i), 0)
			setTimeOf(t, x, b, cas.StateCondemned, time.Now().Add(-ago*time.Minute))
		}
		for _, i := range []int{1, 2, 0} {
			refs, err := StartDeleting(t.Context(), x, time.Hour, 1)
			if err != nil || len(refs) != 1 || refs[0].Digest != digest(t, i) {
				t.Errorf("StartDeleting took %v, error %v; want blob %d", refs, err, i)
			}
		}
	}},
	{"takes over the objects of a dead collector", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 2)
		setTimeOf(t, x, b, cas.StateDeleting, time.Now().Add(-24*time.Hour))
		refs, err := StartDeleting(t.Context(), x, 0, 10)
		if err != nil || len(refs) != 1 || refs[0] != b.Object() {
			t.Errorf("StartDeleting took %v, error %v; want %v", refs, err, b.Object())
		}
		if again, err := StartDeleting(t.Context(), x, 0, 10); err != nil || len(again) != 0 {
			t.Errorf("StartDeleting took %v again, error %v", again, err)
		}
	}},
	{"leaves a tombstone at exactly the generation deleted", func(t *testing.T, x Index) {
		n := 0
		for _, state := range states {
			for generation := int32(3); generation <= 5; generation++ {
				n++
				b := blob(digest(t, n), 4)
				arrange(t, x, b, state)
				if err := x.FinishDeleting(t.Context(), cas.ObjectRef{Digest: b.Digest, Generation: generation}); err != nil {
					t.Errorf("FinishDeleting in state %s: %v", state, err)
				}
				want := state
				if state == cas.StateDeleting && generation == 4 {
					want = cas.StateGone
				}
				expect(t, x, b.Digest, want, 4)
			}
		}
	}},
	{"does not bury a new life under an old deletion", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 0)
		arrange(t, x, b, cas.StateDeleting)
		commit(t, x, blob(b.Digest, 1))
		if err := x.FinishDeleting(t.Context(), b.Object()); err != nil {
			t.Fatal(err)
		}
		expect(t, x, b.Digest, cas.StateLive, 1)
	}},
}

// setTimeOf is arrange and then SetTime, or skips the test.
func setTimeOf(t *testing.T, x Index, b cas.Blob, state cas.State, at time.Time) {
	t.Helper()
	setter, ok := x.(TimeSetter)
	if !ok {
		t.Skip("the index under test is no TimeSetter")
	}
	arrange(t, x, b, state)
	setter.SetTime(t, b.Digest, at)
}
