package indextest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"casgate/cas"
	"casgate/index"
	"casgate/providers/ledger"
)

// inventory returns the counts of an index.
func inventory(t testing.TB, x Index) index.Inventory {
	t.Helper()
	found, err := x.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var inventoryTests = []test{
	{"counts nothing in an empty index", func(t *testing.T, x Index) {
		if found := inventory(t, x); len(found.Blobs) != 0 || found.Files != 0 || len(found.Copies) != 0 {
			t.Errorf("Inventory returned %+v", found)
		}
	}},
	{"counts blobs, files and copies by their states", func(t *testing.T, x Index) {
		for i := range 3 {
			commit(t, x, blob(digest(t, i), 0))
		}
		suspect(t, x, cas.ObjectRef{Digest: digest(t, 0)})
		createFile(t, x, fileOf(t, 1, digest(t, 1)))
		createFile(t, x, fileOf(t, 2, digest(t, 1)))
		condemn(t, x, digest(t, 2))

		first, second, ready := wanted(t, 1), wanted(t, 2), wanted(t, 3)
		first.OperationID, second.OperationID = "019ac000-0000-7000-8000-000000000001", "019ac000-0000-7000-8000-000000000002"
		claim(t, x, second, long)
		claim(t, x, first, long)
		makeReady(t, x, ready, "f1")

		found := inventory(t, x)
		want := index.Inventory{
			Blobs: []index.BlobCount{
				{State: cas.StateCondemned, Count: 1, Bytes: size}, {State: cas.StateLive, Count: 1, Bytes: size}, {State: cas.StateSuspect, Count: 1, Bytes: size},
			},
			Files: 2,
			Copies: []index.CopyCount{
				{Provider: provider, State: ledger.StateReady, Count: 1, Oldest: found.Copies[0].Oldest},
				{Provider: provider, State: ledger.StateUploading, Count: 2, Oldest: first.OperationID},
			},
		}
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("Inventory (-want +got):\n%s", diff)
		}
		began, ok := found.Copies[1].Began()
		if want := time.UnixMilli(0x019ac0000000).UTC(); !ok || !began.Truncate(time.Millisecond).Equal(want) {
			t.Errorf("the oldest began at %v, %v; want %v", began, ok, want)
		}
	}},
}
