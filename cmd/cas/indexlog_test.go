package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/index/sqliteindex"
)

// No command makes an index in place of one whose file is gone while its log is there: SQLite
// would remove the log, and with it what a killed gateway had committed.
func TestTheIndexsLogIsKept(t *testing.T) {
	dir := usedFolder(t)
	index := filepath.Join(dir, settings.SQLiteFile)
	away := index + ".away"
	log, err := os.ReadFile(index + "-wal")
	if err != nil || len(log) == 0 {
		t.Fatalf("a killed gateway leaves a log of %d bytes, %v", len(log), err)
	}
	if err := os.Rename(index, away); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(t.TempDir(), "old.csv")
	if err := os.WriteFile(old, []byte("id,storage_path\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"CAS_DATA_DIR=" + dir, "CAS_SOURCE_DIR=" + filepath.Dir(old)}
	for _, args := range [][]string{
		{"serve"}, {"serve", "--adopt-store"},
		{"migrate", "up"}, {"migrate", "status"},
		{"reindex", "-q"}, {"reindex", "-q", "--dry-run"},
		{"token", "create", "--name=x", "--scopes=read"},
		{"import", "--from-csv", old}, {"import", "--from-csv", old, "--dry-run"},
		{"export"}, {"scrub"},
		{"doctor"},
	} {
		cmd := casCommand(t, env, args...)
		said, _ := cmd.CombinedOutput() // the exit code is checked
		out, code := string(said), cmd.ProcessState.ExitCode()
		want := exit.Usage
		if args[0] == "doctor" {
			want = exit.Failure
		}
		for _, says := range []string{"the file is missing or empty, but its -wal file is there", "put that very file back"} {
			if code != want || !strings.Contains(out, says) {
				t.Errorf("cas %q: exit code %d; want %d and %q:\n%s", args, code, want, says, out)
			}
		}
		if now, err := os.ReadFile(index + "-wal"); err != nil || !bytes.Equal(now, log) {
			t.Fatalf("cas %q changed the log: %d bytes of %d, %v", args, len(now), len(log), err)
		}
		if _, err := os.Stat(index); !os.IsNotExist(err) {
			t.Fatalf("cas %q made a file: %v", args, err)
		}
	}
	// An empty file is no better than none.
	if err := os.WriteFile(index, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := scrubCommand(t, env, "migrate", "up"); code != exit.Usage {
		t.Errorf("with an empty file: exit code %d:\n%s", code, out)
	}
	// The advice works.
	if err := os.Rename(away, index); err != nil {
		t.Fatal(err)
	}
	out, code := scrubCommand(t, env, "export", "-q")
	if code != exit.OK || !strings.Contains(out, `"a.txt"`) || !strings.Contains(out, `"b.txt"`) {
		t.Errorf("with the file again: exit code %d:\n%s", code, out)
	}
}

// An orderly stop leaves all changes in the one file, also if a command had the index open
// meanwhile, and if it has it open for longer than the gateway. docs/reliability.md promises it to those who copy
// the file.
func TestAnOrderlyStopLeavesNoLog(t *testing.T) {
	for name, outlives := range map[string]bool{"a command that ends before": false, "a command that ends after": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			index := filepath.Join(dir, settings.SQLiteFile)
			env := []string{"CAS_DATA_DIR=" + dir}
			p := serveProcess(t, casCommand(t, env, "serve"))
			p.upload("first", "a.txt")
			beside, err := sqliteindex.Open(t.Context(), index)
			if err != nil {
				t.Fatal(err)
			}
			defer beside.Close()
			if _, err := beside.Blob(t.Context(), cas.DigestOf([]byte("first"))); err != nil {
				t.Error(err)
			}
			if !outlives {
				beside.Close()
			}
			p.upload("second", "b.txt")
			p.terminate()
			beside.Close()
			if _, err := os.Stat(index + "-wal"); !os.IsNotExist(err) {
				t.Errorf("the log is there: %v", err)
			}
			restored := t.TempDir()
			whole, err := os.ReadFile(index)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(restored, settings.SQLiteFile), whole, 0o600); err != nil {
				t.Fatal(err)
			}
			out, code := scrubCommand(t, []string{"CAS_DATA_DIR=" + restored}, "export", "-q")
			if code != exit.OK || !strings.Contains(out, `"a.txt"`) || !strings.Contains(out, `"b.txt"`) {
				t.Errorf("a copy of the file: exit code %d:\n%s", code, out)
			}
		})
	}
}
