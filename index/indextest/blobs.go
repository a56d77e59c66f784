package indextest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"casgate/cas"
)

var blobTests = []test{
	{"returns the committed row", func(t *testing.T, x Index) {
		before := time.Now()
		row, _ := commit(t, x, blob(digest(t, 0), 0))
		got, err := x.Blob(t.Context(), row.Digest)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the row", got, row)
		want := blob(digest(t, 0), 0)
		want.State, want.CreatedAt = cas.StateLive, row.CreatedAt
		same(t, "the row", got, want)
		// The database's clock may be another machine's, but not another day's.
		if d := row.CreatedAt.Sub(before).Abs(); d > 24*time.Hour {
			t.Errorf("created at %s, at %s", row.CreatedAt, before)
		}
		if row.CreatedAt.Location() != time.UTC {
			t.Errorf("created at %s; want UTC", row.CreatedAt)
		}
	}},
	{"shows live and suspect blobs only", func(t *testing.T, x Index) {
		for i, state := range states {
			d := digest(t, i)
			arrange(t, x, blob(d, 0), state)
			b, err := x.Blob(t.Context(), d)
			switch {
			case !state.Visible():
				notFound(t, fmt.Sprintf("Blob in state %s", state), err)
			case err != nil || b.State != state:
				t.Errorf("Blob in state %s: state %s, error %v", state, b.State, err)
			}
		}
	}},
	{"keeps empty and huge sizes", func(t *testing.T, x Index) {
		for i, size := range []int64{0, 1<<63 - 1} {
			b := blob(digest(t, i), 0)
			b.Size = size
			commit(t, x, b)
			if got, err := x.Blob(t.Context(), b.Digest); err != nil || got.Size != size {
				t.Errorf("size %d, error %v; want %d", got.Size, err, size)
			}
		}
	}},
}

var touchTests = []test{
	{"returns the row as it is", func(t *testing.T, x Index) {
		for i, state := range states {
			b := blob(digest(t, i), 3)
			arrange(t, x, b, state)
			for range 2 {
				row, err := x.Touch(t.Context(), b.Digest)
				if state == none {
					notFound(t, "Touch without a row", err)
					continue
				}
				b.State, b.CreatedAt = state, row.CreatedAt
				if err != nil || row != b || row.CreatedAt.IsZero() {
					t.Errorf("Touch in state %s: %+v, error %v", state, row, err)
				}
			}
		}
	}},
	{"rescues nothing", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 0)
		arrange(t, x, b, cas.StateCondemned)
		if _, err := x.Touch(t.Context(), b.Digest); err != nil {
			t.Fatal(err)
		}
		_, err := x.Blob(t.Context(), b.Digest)
		notFound(t, "Blob after Touch", err)
		refs, err := StartDeleting(t.Context(), x, 0, 10)
		if err != nil || len(refs) != 1 || refs[0] != b.Object() {
			t.Errorf("StartDeleting took %v, error %v; want %v", refs, err, b.Object())
		}
	}},
	{"returns a live row that was touched long ago", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 2)
		setTimeOf(t, x, b, cas.StateLive, time.Now().Add(-time.Hour))
		row, err := x.Touch(t.Context(), b.Digest)
		if err != nil || row.State != cas.StateLive || row.Generation != 2 {
			t.Errorf("Touch: %+v, error %v", row, err)
		}
	}},
}

var commitTests = []test{
	{"decides by state and generation", func(t *testing.T, x Index) {
		const row = 5 // the generation of the existing row
		n := 0
		for _, c := range []struct {
			state       cas.State
			given       int32
			want        cas.State
			generation  int32
			wantCreated bool
		}{
			{none, 0, cas.StateLive, 0, true},
			{none, 7, cas.StateLive, 7, true},
			{cas.StateLive, row - 1, cas.StateLive, row, false},
			{cas.StateLive, row, cas.StateLive, row, false},
			{cas.StateLive, row + 1, cas.StateLive, row, false},
			{cas.StateCondemned, row - 1, cas.StateLive, row, false},
			{cas.StateCondemned, row, cas.StateLive, row, false},
			{cas.StateCondemned, row + 1, cas.StateLive, row, false},
			{cas.StateSuspect, row - 1, cas.StateSuspect, row, false},
			{cas.StateSuspect, row, cas.StateLive, row, true},
			{cas.StateSuspect, row + 1, cas.StateLive, row + 1, true},
			{cas.StateDeleting, row - 1, cas.StateDeleting, row, false},
			{cas.StateDeleting, row, cas.StateDeleting, row, false},
			{cas.StateDeleting, row + 1, cas.StateLive, row + 1, true},
			{cas.StateDeleting, row + 2, cas.StateLive, row + 2, true},
			{cas.StateGone, row - 1, cas.StateGone, row, false},
			{cas.StateGone, row, cas.StateGone, row, false},
			{cas.StateGone, row + 1, cas.StateLive, row + 1, true},
		} {
			n++
			d := digest(t, n)
			arrange(t, x, blob(d, row), c.state)
			got, created := commit(t, x, blob(d, c.given))
			if got.State != c.want || got.Generation != c.generation || created != c.wantCreated {
				t.Errorf("a %s row at generation %d, committed with %d: %s at %d, created %v; want %s at %d, created %v",
					c.state, row, c.given, got.State, got.Generation, created, c.want, c.generation, c.wantCreated)
			}
			expect(t, x, d, c.want, c.generation)
			if c.want == cas.StateLive && c.state == cas.StateCondemned {
				if refs, err := StartDeleting(t.Context(), x, 0, 1000); err != nil || len(refs) != 0 {
					t.Errorf("after a rescue StartDeleting took %v, error %v", refs, err)
				}
			}
			again, created := commit(t, x, blob(d, c.given))
			if created {
				t.Errorf("a %s row, committed again with %d: created", c.state, c.given)
			}
			same(t, "the row committed again", again, got)
		}
	}},
	{"keeps name, media type and creation of a row that lives on", func(t *testing.T, x Index) {
		for i, state := range []cas.State{cas.StateLive, cas.StateCondemned, cas.StateSuspect} {
			b := blob(digest(t, i), 0)
			first, _ := commit(t, x, b)
			switch state {
			case cas.StateCondemned:
				condemn(t, x, b.Digest)
			case cas.StateSuspect:
				suspect(t, x, b.Object())
			}
			b.Name, b.MediaType = "other.bin", "application/other"
			got, _ := commit(t, x, b)
			same(t, fmt.Sprintf("a %s row after a commit", state), got, first)
		}
	}},
	{"fills in a missing name", func(t *testing.T, x Index) {
		for i, state := range []cas.State{cas.StateLive, cas.StateCondemned, cas.StateSuspect} {
			b := blob(digest(t, i), 0)
			b.Name = ""
			arrange(t, x, b, state)
			b.Name = "late.txt"
			if got, _ := commit(t, x, b); got.Name != "late.txt" {
				t.Errorf("a %s row without a name got %q", state, got.Name)
			}
		}
	}},
	{"begins a new life after a deletion", func(t *testing.T, x Index) {
		for i, state := range []cas.State{cas.StateDeleting, cas.StateGone} {
			d := digest(t, i)
			arrange(t, x, blob(d, 0), state)
			old, err := x.Touch(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			next := blob(d, 1)
			next.Name, next.MediaType = "new.bin", "application/new"
			got, created := commit(t, x, next)
			if !created || got.Name != "new.bin" || got.MediaType != "application/new" || got.Generation != 1 {
				t.Errorf("a %s row became %+v, created %v", state, got, created)
			}
			if !got.CreatedAt.After(old.CreatedAt) {
				t.Errorf("a %s row created at %s was created again at %s", state, old.CreatedAt, got.CreatedAt)
			}
			condemn(t, x, d)
			if refs, err := StartDeleting(t.Context(), x, 0, 10); err != nil || len(refs) != 1 || refs[0] != got.Object() {
				t.Errorf("StartDeleting took %v, error %v; want %v", refs, err, got.Object())
			}
		}
	}},
	{"corrects the size of a suspect row", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 0)
		arrange(t, x, b, cas.StateSuspect)
		b.Size++
		if got, created := commit(t, x, b); got.State != cas.StateLive || got.Size != b.Size || !created {
			t.Errorf("it became %s of size %d, created %v", got.State, got.Size, created)
		}
	}},
	{"leaves a row unchanged if the size contradicts it", func(t *testing.T, x Index) {
		for i, state := range []cas.State{cas.StateLive, cas.StateCondemned} {
			b := blob(digest(t, i), 0)
			arrange(t, x, b, state)
			b.Size++
			got, created := commit(t, x, b)
			if got.State != state || got.Size != size || created {
				t.Errorf("a %s row became %s of size %d, created %v", state, got.State, got.Size, created)
			}
			expect(t, x, b.Digest, state, 0)
		}
	}},
	{"refuses negative sizes and generations", func(t *testing.T, x Index) {
		for i, b := range []cas.Blob{blob(digest(t, 0), -1), {Digest: digest(t, 1), Size: -1}} {
			_, _, err := x.Commit(t.Context(), b)
			if err == nil || errors.Is(err, cas.ErrIndexUnavailable) {
				t.Errorf("case %d: error %v; want one that isn't the index's fault", i, err)
			}
			expect(t, x, b.Digest, none, 0)
		}
	}},
}

var condemnTests = []test{
	{"hides visible blobs and finds no others", func(t *testing.T, x Index) {
		for i, state := range states {
			for j, force := range []bool{false, true} {
				b := blob(digest(t, 2*i+j), 4)
				arrange(t, x, b, state)
				err := x.Condemn(t.Context(), b.Digest, cas.CondemnOptions{Force: force})
				if !state.Visible() {
					notFound(t, fmt.Sprintf("Condemn in state %s", state), err)
					expect(t, x, b.Digest, state, 4)
					continue
				}
				if err != nil {
					t.Errorf("Condemn in state %s: %v", state, err)
				}
				expect(t, x, b.Digest, cas.StateCondemned, 4)
			}
		}
	}},
}

var mediaTypeTests = []test{
	{"changes the media type of a visible blob", func(t *testing.T, x Index) {
		for i, state := range states {
			b := blob(digest(t, i), 0)
			arrange(t, x, b, state)
			before, err := x.Touch(t.Context(), b.Digest)
			if (err != nil) != (state == none) {
				t.Fatal(err)
			}
			want := before
			if state.Visible() {
				want.MediaType = "text/csv"
			}
			if err := x.SetMediaType(t.Context(), b.Digest, "text/plain", "text/csv"); err != nil {
				t.Fatal(err)
			}
			if got, err := x.Touch(t.Context(), b.Digest); (err != nil) != (state == none) || got != want {
				t.Errorf("a %s row became %+v, error %v", state, got, err)
			}
		}
	}},
	{"leaves a blob that has another media type", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 0)
		commit(t, x, b)
		if err := x.SetMediaType(t.Context(), b.Digest, "text/html", "text/csv"); err != nil {
			t.Fatal(err)
		}
		if got, err := x.Blob(t.Context(), b.Digest); err != nil || got.MediaType != b.MediaType {
			t.Errorf("it became %+v, error %v", got, err)
		}
	}},
	{"refuses a text that can't be stored", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 0)
		commit(t, x, b)
		if err := x.SetMediaType(t.Context(), b.Digest, b.MediaType, "a\x00b"); !errors.Is(err, cas.ErrInvalidText) {
			t.Errorf("error %v", err)
		}
	}},
}

var fillNameTests = []test{
	{"names a visible blob that has no name", func(t *testing.T, x Index) {
		for i, state := range states {
			for _, name := range []string{"", "old"} {
				b := blob(digest(t, 2*i+len(name)/3), 0)
				b.Name = name
				arrange(t, x, b, state)
				before, err := x.Touch(t.Context(), b.Digest)
				if (err != nil) != (state == none) {
					t.Fatal(err)
				}
				want := before
				if state.Visible() && name == "" {
					want.Name = "new"
				}
				if err := x.FillName(t.Context(), b.Digest, "new"); err != nil {
					t.Fatal(err)
				}
				if got, err := x.Touch(t.Context(), b.Digest); (err != nil) != (state == none) || got != want {
					t.Errorf("a %s row with the name %q became %+v, error %v", state, name, got, err)
				}
			}
		}
	}},
	{"refuses a text that can't be stored", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 0)
		commit(t, x, b)
		if err := x.FillName(t.Context(), b.Digest, "a\x00b"); !errors.Is(err, cas.ErrInvalidText) {
			t.Errorf("error %v", err)
		}
	}},
}

var suspectTests = []test{
	{"marks a live row of exactly this generation", func(t *testing.T, x Index) {
		n := 0
		for _, state := range states {
			for generation := int32(3); generation <= 5; generation++ {
				n++
				b := blob(digest(t, n), 4)
				arrange(t, x, b, state)
				suspect(t, x, cas.ObjectRef{Digest: b.Digest, Generation: generation})
				want := state
				if state == cas.StateLive && generation == 4 {
					want = cas.StateSuspect
				}
				expect(t, x, b.Digest, want, 4)
			}
		}
	}},

	{"trusts a suspect row of exactly this generation again", func(t *testing.T, x Index) {
		n := 0
		for _, state := range states {
			for generation := int32(3); generation <= 5; generation++ {
				n++
				b := blob(digest(t, n), 4)
				arrange(t, x, b, state)
				if err := x.Trust(t.Context(), cas.ObjectRef{Digest: b.Digest, Generation: generation}); err != nil {
					t.Fatalf("Trust: %v", err)
				}
				want := state
				if state == cas.StateSuspect && generation == 4 {
					want = cas.StateLive
				}
				expect(t, x, b.Digest, want, 4)
			}
		}
	}},
}
