package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
	if made, err := os.ReadDir(data); err != nil || len(made) > 0 {
		t.Errorf("made in the folder: %v, %v", made, err)
	}
	give(0)
	if out, err := casCommand(t, env, "token", "create", "--name", "a", "--scopes", "read").CombinedOutput(); err != nil {
		t.Fatalf("in a folder of root: %v, %s", err, out)
	}
	if out, err := casCommand(t, env, "scrub").CombinedOutput(); err != nil {
		t.Fatalf("in a folder of root: %v, %s", err, out)
	}
	give(65534)
	for _, args := range [][]string{{"gc"}, {"scrub"}, {"export"}, {"migrate", "status"}, {"token", "ls"}} {
		refused("after it", args...)
	}
	if err := os.Remove(filepath.Join(data, "index.sqlite")); err != nil {
		t.Fatal(err)
	}
	refused("after a lost index", "reindex")
}
