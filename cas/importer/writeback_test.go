package importer_test

import (
	"context"
	"testing"

	"casgate/cas"
	"casgate/cas/importer"
)

// fakeWriter is an old table.
type fakeWriter map[string]cas.Digest

func (w fakeWriter) WriteDigests(_ context.Context, ds []importer.OldDigest) (changed int64, err error) {
	for _, d := range ds {
		if w[d.ID] != d.Digest {
			w[d.ID] = d.Digest
			changed++
		}
	}
	return changed, nil
}

func TestWriteBack(t *testing.T) {
	t.Parallel()
	x := newFakeFiles(1100)
	if _, err := importer.Backfill(t.Context(), x.options()); err != nil {
		t.Fatal(err)
	}
	x.change("0001", func(f *cas.File) { f.Digest = cas.Digest{} })
	x.change("0002", func(f *cas.File) { f.Origin.Source = "file:///elsewhere" })
	x.change("0003", func(f *cas.File) { f.Metadata = []byte(`{"imported_id":3}`) })
	x.change("0004", func(f *cas.File) { f.Metadata = nil })
	f := x.files["file-0005"]
	f.Origin = nil
	x.files[f.ID] = f
	w := fakeWriter{}
	for _, want := range []int64{1095, 0} {
		if n, err := importer.WriteBack(t.Context(), x, []string{old}, w); n != want || err != nil {
			t.Errorf("%d rows changed, want %d: %v", n, want, err)
		}
	}
	if w["0006"] != cas.DigestOf([]byte("0006")) {
		t.Error("a wrong digest")
	}
}
