package sqliteindex

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
)

// Without a reserve, a write to a full disk goes to the beginning of the log, which has room
// there.
func TestFreeBeginsTheLogAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "index.sqlite")
	x, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := x.ExecWriter(t.Context(), "create table filler (bytes blob)"); err != nil {
		t.Fatal(err)
	}
	const insert = "insert into filler values (randomblob(100000))"
	for range 5 {
		if err := x.ExecWriter(t.Context(), insert); err != nil {
			t.Fatal(err)
		}
	}
	logSize := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	x.reserve.giveUp()
	before, calls := logSize(), 0
	err = x.free(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		calls++
		limit := "pragma max_page_count = 1" // SQLite takes the present number of pages then
		if calls > 1 {
			limit = "pragma max_page_count = 1000000"
		}
		for _, statement := range []string{limit, insert} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || calls != 2 {
		t.Errorf("%d calls, error %v; want 2 and none", calls, err)
	}
	if after := logSize(); after > before {
		t.Errorf("the log grew from %d to %d bytes", before, after)
	}
}
