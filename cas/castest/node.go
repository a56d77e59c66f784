package castest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// NodeSuite returns a copy of a folder of tests that run in Node, with its packages
// installed. The folder lies in scripts, and has a lock file.
func NodeSuite(t *testing.T, suite string) string {
	t.Helper()
	modules := NodeModules(t, suite)
	dir := t.TempDir() // Node looks for modules beside the program
	err := os.CopyFS(dir, os.DirFS(suite))
	if err == nil {
		err = os.Symlink(modules, filepath.Join(dir, "node_modules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// NodeModules returns the folder of the packages that a suite's lock file names. They are
// installed once, into the user's cache.
func NodeModules(t *testing.T, suite string) string {
	t.Helper()
	needNode(t, filepath.Join(suite, "..", "debian-install"))
	lock, err := os.ReadFile(filepath.Join(suite, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "casgate", filepath.Base(suite)+"-"+hex.EncodeToString(sum[:8]))
	if err := installOnce(suite, dir); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "node_modules")
}

var installing sync.Mutex

// installOnce installs the packages of a suite, unless that was done. The folder appears whole
// or not at all; of two processes that make it at once, one is too late.
func installOnce(suite, dir string) error {
	installing.Lock()
	defer installing.Unlock()
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "installing-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.CopyFS(tmp, os.DirFS(suite)); err != nil {
		return err
	}
	install := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = tmp
	if out, err := install.CombinedOutput(); err != nil {
		return errors.New("npm ci: " + err.Error() + "\n" + string(out))
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, there := os.Stat(dir); there != nil {
			return err
		}
	}
	return nil
}

// needNode makes sure that there is Node, which root gets installed by the script install
// where tests may not be skipped.
func needNode(t *testing.T, install string) {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	_, noNode := exec.LookPath("node")
	_, noNPM := exec.LookPath("npm")
	if noNode == nil && noNPM == nil {
		return
	}
	if os.Getenv("CAS_TEST_DISALLOW_SKIP") != "1" {
		t.Skip("node or npm is not installed")
	}
	if out, err := exec.Command(install, "nodejs", "npm").CombinedOutput(); err != nil {
		t.Fatalf("CAS_TEST_DISALLOW_SKIP=1 forbids to skip: %v\n%s", err, out)
	}
}
