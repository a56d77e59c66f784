package indextest

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"casgate/providers"
	"casgate/providers/ledger"
)

// RunCopyTotals undoes and repeats the migration that counts copies, of an index with this
// schema: the totals are those of the rows, also of rows that changed in between.
func RunCopyTotals(t *testing.T, x Index, db *sql.DB, schema *goose.Provider) {
	const before = 26
	for i := range 40 {
		w := wanted(t, i)
		w.Purpose = []string{"file-extract", "batch"}[i%2]
		c := claim(t, x, w, long)
		switch i % 4 {
		case 0:
		case 1:
			complete(t, x, c, file("1", providers.StatusReady, time.Time{}))
		case 2:
			startDelete(t, x, w.Key, "", long)
		case 3:
			c = complete(t, x, c, file("1", providers.StatusReady, time.Time{}))
			look := ledger.Look{GivenUp: []ledger.Stray{{Fence: c.Fence, FileID: "kept", KeepUntil: later(long)}}}
			if i%8 == 3 { // a file that is to be deleted takes no room
				look.GivenUp[0].KeepUntil = time.Time{}
			}
			if _, done, err := x.Change(t.Context(), ledger.NoteLook(w.Key, c.Fence, look)); err != nil {
				t.Fatal(done, err)
			}
			startDelete(t, x, w.Key, "", long)
		}
	}
	checkUsage(t, x, "before", account)
	for range 2 {
		if _, err := schema.DownTo(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		_, err := db.ExecContext(t.Context(), `update copies set purpose = 'other', size = size + 1 where purpose = 'batch' and state = 'ready'`)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := schema.Up(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		checkUsage(t, x, "after the migration", account)
	}
	if usage, err := x.CopyUsage(t.Context(), account); err != nil || len(usage) != 3 {
		t.Errorf("%+v, error %v; want three purposes", usage, err)
	}
	// Whatever changes rows, the totals follow.
	for _, statement := range []string{
		`update copies set account = 'another', size = size + 5 where purpose = 'other'`,
		`delete from copies where purpose = 'batch' and account = '` + account + `'`,
		`update copies set file_id = '' where state = 'deleting'`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		checkUsage(t, x, statement, account, "another")
	}
}
