package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"casgate/index/pgindex/pgtest"
)

// A command that root runs does not work in the data folder of another user's gateway, which could not
// use the files that root makes.
func TestRootInTheFolderOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		if os.Getenv("CAS_TEST_DISALLOW_SKIP") == "1" {
			t.Fatal("CAS_TEST_DISALLOW_SKIP=1 forbids to skip: only root can give files to another user")
		}
		t.Skip("only root can give files to another user")
	}
	data := t.TempDir()
	env := []string{"CAS_DATA_DIR=" + data}
	give := func(uid int) {
		err := filepath.WalkDir(data, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, uid, uid)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	refused := func(when string, args ...string) {
		t.Helper()
		out, err := casCommand(t, env, args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "run this as that user") {
			t.Errorf("%s: %v: %v, %s", when, args, err, out)
		}
	}
	give(65534)
	refused("before the first start", "token", "create", "--name", "a", "--scopes", "read")
	refused("before the first start", "import", "--from-folder", "--source-dir", t.TempDir())
	// A dry run has nothing to make there.
	for _, args := range [][]string{{"reindex", "--dry-run"}, {"import", "--from-folder", "--source-dir", t.TempDir(), "--dry-run"}} {
		if out, err := casCommand(t, env, args...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
	if made, err := os.ReadDir(data); err != nil || len(made) > 0 {
		t.Errorf("made in the folder: %v, %v", made, err)
	}
	give(0)
	if out, err := casCommand(t, env, "token", "create", "--name", "a", "--scopes", "read").CombinedOutput(); err != nil {
		t.Fatalf("in a folder of root: %v, %s", err, out)
	}
	if err := os.Mkdir(filepath.Join(data, "objects"), 0o700); err != nil { // as a start does
		t.Fatal(err)
	}
	if out, err := casCommand(t, env, "scrub").CombinedOutput(); err != nil {
		t.Fatalf("in a folder of root: %v, %s", err, out)
	}
	give(65534)
	for _, args := range [][]string{{"backfill", "--source-dir", t.TempDir()}, {"gc"}, {"scrub"}, {"export"}, {"migrate", "status"}, {"token", "ls"}} {
		refused("after it", args...)
	}
	out, err := casCommand(t, env, "doctor").CombinedOutput()
	if text := string(out); err == nil || strings.Count(text, "→ run this as that user") != 2 || strings.Contains(text, "the right to read") || strings.Contains(text, "correct the settings") {
		t.Errorf("the doctor: %v\n%s", err, out)
	}
	if err := os.Remove(filepath.Join(data, "index.sqlite")); err != nil {
		t.Fatal(err)
	}
	refused("after a lost index", "reindex")
}

// What lies in a bucket and in Postgres leaves only the spool in the data folder, which is the gateway's, too.
func TestBackfillInTheFolderOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		if os.Getenv("CAS_TEST_DISALLOW_SKIP") == "1" {
			t.Fatal("CAS_TEST_DISALLOW_SKIP=1 forbids to skip: only root can give files to another user")
		}
		t.Skip("only root can give files to another user")
	}
	env := append(bucketEnv(t), "CAS_DATABASE_URL="+pgtest.New(t))
	data := t.TempDir()
	if err := os.Chown(data, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	env = append(env, "CAS_DATA_DIR="+data)
	if out, err := casCommand(t, env, "migrate", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v, %s", err, out)
	}
	out, err := casCommand(t, env, "backfill", "--source-dir", t.TempDir()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "run this as that user") {
		t.Errorf("%v, %s", err, out)
	}
	if made, err := os.ReadDir(data); err != nil || len(made) > 0 {
		t.Errorf("made in the folder: %v, %v", made, err)
	}
}

// A dry run makes no data folder, nor anything in it.
func TestDryRunsMakeNothing(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	for _, args := range [][]string{{"reindex", "--dry-run"}, {"import", "--from-folder", "--source-dir", t.TempDir(), "--dry-run"}} {
		if out, err := casCommand(t, []string{"CAS_DATA_DIR=" + data}, args...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v, %s", args, err, out)
		}
		if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v made the data folder: %v", args, err)
		}
	}
	for _, args := range [][]string{{"gc"}, {"scrub"}, {"export"}, {"reindex"}} { // in a wrong folder
		empty := t.TempDir()
		out, err := casCommand(t, []string{"CAS_DATA_DIR=" + empty}, args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "check CAS_DATA_DIR") {
			t.Errorf("%v: %v, %s", args, err, out)
		}
		if made, err := os.ReadDir(empty); err != nil || len(made) > 0 {
			t.Errorf("%v made %v, %v", args, made, err)
		}
	}
}
