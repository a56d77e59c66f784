package replicator_test

import (
	"slices"
	"testing"

	"casgate/providers"
	"casgate/providers/ledger"
)

// A copy that was noted before is used where the provider has the file, and made
// anew where it doesn't, or has another one under that id.
func TestNotedCopies(t *testing.T) {
	t.Parallel()
	const content = "some text"
	for name, c := range map[string]struct {
		remote  string // the provider's file under the id; empty: none
		async   bool
		uploads int
	}{
		"there":                  {content, false, 0},
		"gone":                   {"", false, 1},
		"another file":           {"some other text", false, 1},
		"there, asked for later": {content, true, 0},
		"gone, asked for later":  {"", true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.replicator(t, nil)
			q := want(w.put(t, content, "a.txt"))
			id := "file_noted"
			if c.remote != "" {
				id = w.depot.store("old name.txt", "docs", []byte(c.remote)).ID
			}
			for range 2 { // the second changes nothing
				noted := q
				noted.Purpose = "a purpose of the old manager's"
				if err := r.Enter(t.Context(), noted, id); err != nil {
					t.Fatal(err)
				}

				if row, err := r.Copy(t.Context(), q); err != nil || row.State != ledger.StateUnverified || row.FileID != id {
					t.Fatalf("entered: %+v, %v", row, err)
				}
			}
			if n := w.depot.count(providers.OpRetrieve); n != 0 {
				t.Errorf("the provider was asked %d times before the copy was requested", n)
			}
			if c.async {
				if _, err := r.Begin(t.Context(), q); err != nil {
					t.Fatal(err)
				}
				run(t, r)
				eventually(t, "it is ready", func() bool {
					row, err := r.Copy(t.Context(), q)
					return err == nil && row.State == ledger.StateReady
				})
			}
			got := ensure(t, r, q)
			if n := w.depot.count(providers.OpUpload); n != c.uploads || (c.uploads == 0) != (got.FileID == id) {
				t.Errorf("%d uploads, and the copy is %s; %s was noted", n, got.FileID, id)
			}
			if !slices.Contains(w.depot.fileIDs(), got.FileID) {
				t.Errorf("%s isn't there", got.FileID)
			}
		})
	}
}

// A noted copy that is deleted is removed at the provider as every other.
func TestRemoveNoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	f := w.depot.store("old name.txt", "docs", []byte("some text"))
	if err := r.Enter(t.Context(), q, f.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Remove(t.Context(), q); err != nil || got[0].State != ledger.StateDeleted || len(w.depot.fileIDs()) > 0 {
		t.Errorf("removed: %+v, %v; files %v", got, err, w.depot.fileIDs())
	}
}

// The old manager may have recorded the whole resource name of a file.
func TestEnteredIDHasNoPrefix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.depot.description.IDPrefix = "files/"
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	id := w.depot.store("a.txt", "docs", []byte("some text")).ID
	if err := r.Enter(t.Context(), q, "files/"+id); err != nil {
		t.Fatal(err)
	}
	if c := ensure(t, r, q); c.FileID != id || w.depot.count(providers.OpUpload) != 0 {
		t.Errorf("%+v after %d uploads", c, w.depot.count(providers.OpUpload))
	}
	if c, _, err := r.ReportLost(t.Context(), q, "files/"+id); err != nil || c.FileID != id {
		t.Errorf("reported by its resource name: %+v, %v", c, err)
	}
	if w.depot.count(providers.OpRetrieve) < 2 {
		t.Error("the report was taken for one about another file")
	}
}
