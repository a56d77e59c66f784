package sqliteindex_test

import (
	"testing"

	"github.com/pressly/goose/v3"

	"casgate/index/indextest"
	"casgate/migrations"
)

func TestCopyTotals(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t)
	schema, err := goose.NewProvider(goose.DialectSQLite3, x.db, migrations.SQLite.Files(), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	indextest.RunCopyTotals(t, x, x.db, schema)
}
