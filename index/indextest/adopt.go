package indextest

import (
	"slices"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/reindexer"
)

// adopted returns a blob to adopt.
func adoptedBlob(d cas.Digest, generation int32) cas.Blob {
	b := blob(d, generation)
	b.CreatedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return b
}

var adoptTests = []test{
	{"adopts objects without a row, and no other", func(t *testing.T, x Index) {
		n := 0
		for _, c := range []struct {
			state      cas.State
			generation int32 // of the object; the row has 2
			want       bool
		}{
			{none, 0, true}, {none, 3, true},
			{cas.StateLive, 1, false}, {cas.StateLive, 2, false}, {cas.StateLive, 3, false},
			{cas.StateSuspect, 1, false}, {cas.StateSuspect, 2, false}, {cas.StateSuspect, 3, true},
			{cas.StateCondemned, 1, false}, {cas.StateCondemned, 2, false}, {cas.StateCondemned, 3, false},
			{cas.StateDeleting, 1, false}, {cas.StateDeleting, 2, false}, {cas.StateDeleting, 3, false},
			{cas.StateGone, 1, false}, {cas.StateGone, 2, false}, {cas.StateGone, 3, true},
		} {
			n++
			d := digest(t, n)
			arrange(t, x, blob(d, 2), c.state)
			ref := cas.ObjectRef{Digest: d, Generation: c.generation}
			could, err := x.Adoptable(t.Context(), []cas.ObjectRef{ref})
			if err != nil || slices.Contains(could, ref) != c.want {
				t.Errorf("generation %d where the row is %s at 2: Adoptable returned %v, error %v", c.generation, c.state, could, err)
			}
			got, err := x.AdoptBlobs(t.Context(), []cas.Blob{adoptedBlob(d, c.generation)})
			if err != nil || slices.Contains(got, ref) != c.want || len(got) > 1 {
				t.Errorf("generation %d where the row is %s at 2: AdoptBlobs returned %v, error %v", c.generation, c.state, got, err)
			}
			if c.want {
				expect(t, x, d, cas.StateLive, c.generation)
			} else {
				expect(t, x, d, c.state, 2)
			}
		}
	}},
	{"tells objects of old generations", func(t *testing.T, x Index) {
		const no = -2
		n := 0
		for _, c := range []struct {
			state      cas.State
			generation int32 // of the object; the row has 2
			live       int32
		}{
			{none, 0, no}, {cas.StateLive, 1, 2}, {cas.StateLive, 2, no}, {cas.StateLive, 3, no},
			{cas.StateSuspect, 1, no}, {cas.StateCondemned, 1, no}, {cas.StateDeleting, 1, no}, {cas.StateDeleting, 2, no},
			{cas.StateGone, 1, -1}, {cas.StateGone, 2, -1}, {cas.StateGone, 3, no},
		} {
			n++
			d := digest(t, n)
			arrange(t, x, blob(d, 2), c.state)
			var want []reindexer.StaleObject
			ref := cas.ObjectRef{Digest: d, Generation: c.generation}
			if c.live != no {
				want = append(want, reindexer.StaleObject{ObjectRef: ref, Live: c.live})
			}
			got, err := x.Stale(t.Context(), []cas.ObjectRef{ref})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("generation %d where the row is %s at 2: Stale returned %v, error %v; want %v", c.generation, c.state, got, err, want)
			}
		}
		if got, err := x.Stale(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("Stale of none: %v, error %v", got, err)
		}
	}},
	{"makes rows with the blob's time, which an upload finds", func(t *testing.T, x Index) {
		a, b := adoptedBlob(digest(t, 0), 0), adoptedBlob(digest(t, 1), 4)
		refs := []cas.ObjectRef{a.Object(), b.Object()}
		could, err := x.Adoptable(t.Context(), refs)
		if err != nil || !slices.Equal(could, refs) {
			t.Fatalf("Adoptable returned %v, error %v", could, err)
		}
		if got, err := x.AdoptBlobs(t.Context(), []cas.Blob{a, b}); err != nil || len(got) != 2 {
			t.Fatalf("AdoptBlobs returned %v, error %v", got, err)
		}
		if got, err := x.AdoptBlobs(t.Context(), []cas.Blob{a, b}); err != nil || len(got) != 0 {
			t.Fatalf("AdoptBlobs, repeated, returned %v, error %v", got, err)
		}
		row, err := x.Blob(t.Context(), b.Digest)
		if err != nil || !row.CreatedAt.Equal(b.CreatedAt) || row.Size != b.Size || row.Generation != 4 {
			t.Errorf("the adopted row is %+v, error %v", row, err)
		}
		if row, created := commit(t, x, blob(a.Digest, 0)); created || row.State != cas.StateLive {
			t.Errorf("an upload of an adopted blob: created %v, %+v", created, row)
		}
		if got, err := x.AdoptBlobs(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("AdoptBlobs of none: %v, error %v", got, err)
		}
		if got, err := x.Adoptable(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("Adoptable of none: %v, error %v", got, err)
		}
	}},
}
