package migrations_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"casgate/migrations"
)

func TestSetsAreWhole(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]migrations.Set{"postgres": migrations.Postgres, "sqlite": migrations.SQLite} {
		list := set.Status(nil)
		if len(list) == 0 || list[len(list)-1].Version != set.Latest() {
			t.Fatalf("%s: the latest version is %d of %+v", name, set.Latest(), list)
		}
		last := int64(0)
		for _, m := range list {
			if m.Version <= last || m.Name == "" || m.Applied || !m.AppliedAt.IsZero() {
				t.Errorf("%s: after migration %d comes %+v", name, last, m)
			}
			last = m.Version
		}
		files, err := fs.Glob(set.Files(), "*.sql")
		if err != nil || len(files) != len(list) {
			t.Errorf("%s: %d files for %d migrations, error %v", name, len(files), len(list), err)
		}
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	at := time.Unix(1, 0)
	list := migrations.Postgres.Status(map[int64]time.Time{0: at, 1: at, 9999: at})
	first, last := list[0], list[len(list)-1]
	if first.Version != 1 || !first.Applied || !first.AppliedAt.Equal(at) {
		t.Errorf("the first is %+v; want it applied", first)
	}
	if last != (migrations.Status{Version: 9999, Applied: true, AppliedAt: at}) {
		t.Errorf("the last is %+v; want one without a name", last)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	latest := migrations.Postgres.Latest()
	if err := migrations.Postgres.Check(latest); err != nil {
		t.Errorf("at the latest version: %v", err)
	}
	for have, says := range map[int64]string{0: "run `cas migrate up`", latest - 1: "run `cas migrate up`", latest + 1: "upgrade the program"} {
		err := migrations.Postgres.Check(have)
		if !errors.Is(err, migrations.ErrSchema) || !strings.Contains(err.Error(), says) {
			t.Errorf("at version %d: %v; want an ErrSchema that says %q", have, err, says)
		}
	}
}
