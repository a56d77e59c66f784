// Package sqlitetest makes migrated SQLite indexes for tests. It runs the migrations once
// in a process, and copies the result, since they take longer than most tests.
package sqlitetest

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"casgate/index/sqliteindex"
)

// Open opens a new index at path, and closes it when the test ends.
func Open(t testing.TB, path string) *sqliteindex.Index {
	t.Helper()
	if err := Create(path); err != nil {
		t.Fatal(err)
	}
	x, err := sqliteindex.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

// Create writes a new index to path, where nothing may be yet.
func Create(path string) error {
	content, err := migrated()
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

// migrated returns the content of a new index.
var migrated = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "sqlitetest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path, ctx := filepath.Join(dir, "index.db"), context.Background()
	x, err := sqliteindex.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	err = x.Migrate(ctx)
	x.Close() // moves the write-ahead log into the file
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})
