package indextest

import (
	"slices"
	"testing"

	"casgate/cas"
)

// stored is an object in a listing.
func stored(d cas.Digest, generation int32) cas.ObjectInfo {
	return cas.ObjectInfo{ObjectRef: cas.ObjectRef{Digest: d, Generation: generation}, Size: size}
}

var orphansTests = []test{
	{"condemns objects without a row, and tells stale ones", func(t *testing.T, x Index) {
		n := 0
		for _, c := range []struct {
			state      cas.State
			generation int32 // of the object; the row has 2
			want       string
		}{
			{none, 0, "condemned"}, {none, 3, "condemned"},
			{cas.StateLive, 1, "stale"}, {cas.StateLive, 2, ""}, {cas.StateLive, 3, ""},
			{cas.StateSuspect, 1, "stale"}, {cas.StateSuspect, 2, ""}, {cas.StateSuspect, 3, ""},
			{cas.StateCondemned, 1, "stale"}, {cas.StateCondemned, 2, ""}, {cas.StateCondemned, 3, ""},
			{cas.StateDeleting, 1, "stale"}, {cas.StateDeleting, 2, ""}, {cas.StateDeleting, 3, ""},
			{cas.StateGone, 1, "stale"}, {cas.StateGone, 2, "stale"}, {cas.StateGone, 3, "condemned"},
		} {
			n++
			d := digest(t, n)
			arrange(t, x, blob(d, 2), c.state)
			object := stored(d, c.generation)
			planned, err := x.FindOrphans(t.Context(), []cas.ObjectInfo{object})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, x, d, c.state, 2)
			got, err := x.CondemnOrphans(t.Context(), []cas.ObjectInfo{object})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(planned.Condemned, got.Condemned) || !slices.Equal(planned.Stale, got.Stale) {
				t.Errorf("generation %d where the row is %s at 2: FindOrphans returned %+v, and CondemnOrphans %+v", c.generation, c.state, planned, got)
			}
			if slices.Contains(got.Condemned, object.ObjectRef) != (c.want == "condemned") || slices.Contains(got.Stale, object.ObjectRef) != (c.want == "stale") {
				t.Errorf("generation %d where the row is %s at 2: %+v; want it %q", c.generation, c.state, got, c.want)
			}
			if c.want == "condemned" {
				expect(t, x, d, cas.StateCondemned, c.generation)
			} else {
				expect(t, x, d, c.state, 2)
			}
		}
	}},
	{"makes rows that an upload rescues, and the collector takes", func(t *testing.T, x Index) {
		rescued, collected := digest(t, 0), digest(t, 1)
		got, err := x.CondemnOrphans(t.Context(), []cas.ObjectInfo{stored(rescued, 0), stored(collected, 0), stored(collected, 1)})
		if err != nil || len(got.Condemned) != 2 || len(got.Stale) != 1 || got.Stale[0] != stored(collected, 0).ObjectRef {
			t.Fatalf("CondemnOrphans returned %+v, error %v", got, err)
		}
		if row, _ := commit(t, x, blob(rescued, 0)); row.State != cas.StateLive {
			t.Errorf("the rescued row is %+v", row)
		}
		refs, err := StartDeleting(t.Context(), x, 0, 10)
		if err != nil || len(refs) != 1 || refs[0] != (cas.ObjectRef{Digest: collected, Generation: 1}) {
			t.Errorf("StartDeleting took %v, error %v", refs, err)
		}
		if got, err := x.CondemnOrphans(t.Context(), nil); err != nil || len(got.Condemned)+len(got.Stale) != 0 {
			t.Errorf("CondemnOrphans of none: %+v, error %v", got, err)
		}
	}},
}
