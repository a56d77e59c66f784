package sqliteindex_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/index/sqliteindex"
)

// some is a blob.
var some = cas.Blob{Digest: cas.DigestOf([]byte("some")), Size: 4, MediaType: "text/plain"}

// put commits some.
func put(t testing.TB, x *sqliteindex.Index) {
	t.Helper()
	if _, _, err := x.Commit(t.Context(), some); err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreTheOwners(t *testing.T) {
	t.Parallel()
	// A name with characters that have a meaning in a URL.
	path := filepath.Join(t.TempDir(), "in dex?mode=ro#%20.db")
	x := open(t, path)
	if err := x.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, x)
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) < 3 { // with -wal and -shm
		t.Fatalf("%d files, error %v", len(files), err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 || !strings.HasPrefix(f.Name(), filepath.Base(path)) {
			t.Errorf("file %q has mode %v", f.Name(), info.Mode())
		}
	}
	// Opening it again in the same process must not drop the locks of the first.
	put(t, open(t, path))
	put(t, x)
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	noDatabase := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(noDatabase, []byte(strings.Repeat("no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a folder that isn't there": filepath.Join(t.TempDir(), "no", "index.db"),
		"a folder":                  t.TempDir(),
		"another file":              noDatabase,
	} {
		x, err := sqliteindex.Open(t.Context(), path)
		if err == nil {
			x.Close()
		}
		if !errors.Is(err, cas.ErrIndexUnavailable) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v; want ErrIndexUnavailable with the path", name, err)
		}
	}
}

func TestTouchWritesOnceAMinute(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t)
	put(t, x.Index)
	for _, c := range []struct {
		age    time.Duration
		writes bool
	}{{50 * time.Second, false}, {70 * time.Second, true}} {
		at := time.Now().Add(-c.age)
		x.SetTime(t, some.Digest, at)
		if row, err := x.Touch(t.Context(), some.Digest); err != nil || row.State != cas.StateLive {
			t.Errorf("Touch: %+v, error %v", row, err)
		}
		var touched int64
		if err := x.db.QueryRow("select touched_at from blobs").Scan(&touched); err != nil {
			t.Fatal(err)
		}
		if wrote := touched > at.UnixMicro(); wrote != c.writes {
			t.Errorf("Touch of a row touched %v ago: written %v", c.age, wrote)
		}
	}
}

// While another process has the write lock, calls that only read don't wait.
func TestReadsPassAWriter(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t)
	put(t, x.Index)
	tx, err := x.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	// A call that waits for the lock fails after busy_timeout.
	ctx := t.Context()
	if row, err := x.Touch(ctx, some.Digest); err != nil || row.State != cas.StateLive {
		t.Errorf("Touch: %+v, error %v", row, err)
	}
	if _, err := x.Blob(ctx, some.Digest); err != nil {
		t.Errorf("Blob: %v", err)
	}
	if err := x.Check(ctx); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t)
	put(t, x.Index)
	if err := x.ExecWriter(t.Context(), "pragma max_page_count = 1"); err != nil { // that is: as it is now
		t.Fatal(err)
	}
	var full error
	stored := 0
	for ; full == nil && stored < 1000; stored++ {
		b := some
		b.Digest, b.Name = cas.DigestOf(fmt.Append(nil, stored)), strings.Repeat("n", 200)
		_, _, full = x.Commit(t.Context(), b)
	}
	if !errors.Is(full, cas.ErrNoSpace) || errors.Is(full, cas.ErrIndexUnavailable) {
		t.Fatalf("after %d commits: %v; want ErrNoSpace", stored, full)
	}
	if _, err := x.Blob(t.Context(), some.Digest); err != nil {
		t.Errorf("reading: %v", err)
	}
}

func TestSchemaTooNew(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t)
	if _, err := x.db.Exec("insert into goose_db_version (version_id, is_applied) values (9999, true)"); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"CheckSchema": x.CheckSchema(t.Context()), "Migrate": x.Migrate(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "newer casgate") || !strings.Contains(err.Error(), "9999") {
			t.Errorf("%s: %v", what, err)
		}
	}
	list, err := x.MigrationStatus(t.Context())
	if err != nil || len(list) == 0 {
		t.Fatalf("%d migrations, error %v", len(list), err)
	}
	if last := list[len(list)-1]; last.Version != 9999 || !last.Applied || last.Name != "" {
		t.Errorf("the last migration is %+v", last)
	}
}

// childVariable holds the database's path where the test is run again as the
// second process of TestSecondProcess.
const childVariable = "SQLITEINDEX_TEST_CHILD"

// `cas token` works on the database of a gateway that is busy with it.
func TestSecondProcess(t *testing.T) {
	const tokens = 20
	if path := os.Getenv(childVariable); path != "" {
		x := open(t, path)
		if err := x.CheckSchema(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range tokens {
			token, _ := access.NewToken("child", []access.Scope{access.ScopeRead}, time.Time{})
			if _, err := x.CreateToken(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	t.Parallel()
	x := newTestIndex(t)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSecondProcess$")
	child.Env = append(os.Environ(), childVariable+"="+x.path)
	type outcome struct {
		output []byte
		err    error
	}
	done := make(chan outcome)
	go func() {
		output, err := child.CombinedOutput()
		done <- outcome{output, err}
	}()
	for n := 0; ; n++ {
		b := some
		b.Digest = cas.DigestOf(fmt.Append(nil, n))
		if _, _, err := x.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Blob(t.Context(), b.Digest); err != nil {
			t.Fatal(err)
		}
		select {
		case o := <-done:
			if o.err != nil {
				t.Fatalf("the second process: %v\n%s", o.err, o.output)
			}
			if list, err := x.Tokens(t.Context()); err != nil || len(list) != tokens {
				t.Errorf("the gateway sees %d of %d tokens, error %v", len(list), tokens, err)
			}
			t.Logf("%d commits beside %d tokens", n+1, tokens)
			return
		default:
		}
	}
}

// The cost of the first embedded start: to create, open and migrate the file.
func BenchmarkFirstOpen(b *testing.B) {
	for i := 0; b.Loop(); i++ {
		x, err := sqliteindex.Open(b.Context(), filepath.Join(b.TempDir(), fmt.Sprint(i)))
		if err != nil {
			b.Fatal(err)
		}
		if err := x.Migrate(b.Context()); err != nil {
			b.Fatal(err)
		}
		x.Close()
	}
}

func BenchmarkTouchHit(b *testing.B) {
	x := newTestIndex(b)
	put(b, x.Index)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := x.Touch(context.Background(), some.Digest); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkBlob(b *testing.B) {
	x := newTestIndex(b)
	put(b, x.Index)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := x.Blob(context.Background(), some.Digest); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCommitNew(b *testing.B) {
	x := newTestIndex(b)
	for n := 0; b.Loop(); n++ {
		blob := some
		blob.Digest = cas.DigestOf(fmt.Append(nil, n))
		if _, _, err := x.Commit(context.Background(), blob); err != nil {
			b.Fatal(err)
		}
	}
}
