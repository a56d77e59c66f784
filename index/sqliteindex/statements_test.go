package sqliteindex

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

func TestStatementsAreKept(t *testing.T) {
	db, err := connect(newFile(t), "immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("create table t (n integer) strict; insert into t values (1), (2)"); err != nil {
		t.Fatal(err)
	}

	t.Run("a query meets its own open rows", func(t *testing.T) {
		const query = "select n from t where n >= ? order by n"
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		var got []string
		outer, err := tx.Query(query, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer outer.Close()
		for outer.Next() {
			var n int
			if err := outer.Scan(&n); err != nil {
				t.Fatal(err)
			}
			var inner int
			if err := tx.QueryRow(query, 2).Scan(&inner); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(n, inner))
		}
		if want := []string{"1 2", "2 2"}; outer.Err() != nil || !slices.Equal(got, want) {
			t.Errorf("read %v, error %v; want %v", got, outer.Err(), want)
		}
	})

	t.Run("a query outlives its error", func(t *testing.T) {
		const query = "insert into t values (?)"
		if _, err := db.Exec(query, "text"); err == nil {
			t.Fatal("a text went into a column of integers")
		}
		if _, err := db.Exec(query, 3); err != nil {
			t.Errorf("the right number after a wrong one: %v", err)
		}
	})

	t.Run("a query sees a new column", func(t *testing.T) {
		const query = "select * from t where n = 1"
		if err := db.QueryRow(query).Scan(new(int)); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("alter table t add column m integer default 7"); err != nil {
			t.Fatal(err)
		}
		var n, m int
		if err := db.QueryRow(query).Scan(&n, &m); err != nil || m != 7 {
			t.Errorf("read %d and %d, error %v; want 1 and 7", n, m, err)
		}
	})

	t.Run("more queries than are kept", func(t *testing.T) {
		for i := range 2 * maxStatements {
			var n int
			if err := db.QueryRow(fmt.Sprintf("select %d", i)).Scan(&n); err != nil || n != i {
				t.Fatalf("query %d read %d, error %v", i, n, err)
			}
		}
	})
}

// newFile returns the path of an empty database file.
func newFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "index.sqlite")
	if err := create(path); err != nil {
		t.Fatal(err)
	}
	return path
}
