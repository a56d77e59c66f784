package sqliteindex_test

import (
	"testing"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

// After EndLeases the work of a gateway that is gone is due: an upload, a delete, a
// processing file. Other rows stay as they are.
func TestEndLeases(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t)
	claim := func(content string) ledger.Copy {
		t.Helper()
		w := ledger.Wanted{Key: ledger.Key{Digest: cas.DigestOf([]byte(content)), Provider: "kimi", Account: "account", Purpose: "file-extract"}}
		c, won, err := x.Change(t.Context(), ledger.Claim(w, time.Hour))
		if err != nil || !won {
			t.Fatal(won, err)
		}
		return c
	}
	change := func(by ledger.Transition) ledger.Copy {
		t.Helper()
		c, done, err := x.Change(t.Context(), by)
		if err != nil || !done {
			t.Fatal(done, err)
		}
		return c
	}
	uploading, processing, deleting, ready := claim("uploading"), claim("processing"), claim("deleting"), claim("ready")
	processing = change(ledger.Complete(processing.Key, processing.Fence, providers.RemoteFile{ID: "p", Status: providers.StatusProcessing}))
	ready = change(ledger.Complete(ready.Key, ready.Fence, providers.RemoteFile{ID: "r", Status: providers.StatusReady}))
	deleting = change(ledger.Delete(deleting.Key, "delete", time.Hour))
	due := func() map[ledger.Key]bool {
		t.Helper()
		rows, err := x.DueCopies(t.Context(), []string{"account"}, 10)
		if err != nil {
			t.Fatal(err)
		}
		keys := make(map[ledger.Key]bool)
		for _, c := range rows {
			keys[c.Key] = true
		}
		return keys
	}
	if before := due(); len(before) > 0 {
		t.Fatalf("due before: %v", before)
	}
	if err := x.EndLeases(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := due(); len(after) != 3 || !after[uploading.Key] || !after[processing.Key] || !after[deleting.Key] {
		t.Errorf("due: %v", after)
	}
	if c, err := x.Copy(t.Context(), ready.Key); err != nil || c.State != ledger.StateReady || c.FileID != "r" {
		t.Errorf("the copy that is ready: %+v, %v", c, err)
	}
	// The next claim keeps the old attempt in mind, which ended by now at the latest.
	again := claim("uploading")
	if len(again.Strays) != 1 || again.Strays[0].Fence != uploading.Fence || again.Strays[0].At.After(time.Now()) {
		t.Errorf("strays %+v", again.Strays)
	}
}
