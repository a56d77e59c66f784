package gateway_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/castest"
)

// nodeSuite is where the tests that run in Node lie.
const nodeSuite = "../scripts/openai-node"

func TestOpenAIsNodeClient(t *testing.T) {
	castest.Slow(t)
	setups(t, func(t *testing.T, p *parts) {
		modules := nodeModules(t, nodeSuite)
		s := start(t, p, nil)
		narrow := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.MaxUploads = 1 })
		ids, err := json.Marshal(map[string][]string{
			"evals": p.importMany(t, volume(300, 60), "evals"),
			"batch": p.importMany(t, volume(4700, 940), "batch"),
		})
		if err != nil {
			t.Fatal(err)
		}
		// Node looks for modules beside the program.
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(nodeSuite)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "files.json"), ids, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
		suite := exec.CommandContext(t.Context(), "node", "--test")
		suite.Dir = dir
		suite.Env = append(os.Environ(),
			"OPENAI_BASE_URL="+s.url+"/v1", "OPENAI_API_KEY="+s.token, "OPENAI_ORG_ID=", "OPENAI_PROJECT_ID=",
			"CASGATE_READER_KEY="+s.newToken(access.ScopeRead), "CASGATE_NARROW_URL="+narrow.url)
		if out, err := suite.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		wantNoPanic(t, s)
	})
}

// nodeModules returns the folder of the packages that a suite's lock file names. They are
// installed once, into the user's cache.
func nodeModules(t *testing.T, suite string) string {
	t.Helper()
	needNode(t)
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

// needNode makes sure that there is Node, which root gets installed where tests may
// not be skipped.
func needNode(t *testing.T) {
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
	if out, err := exec.Command("../scripts/debian-install", "nodejs", "npm").CombinedOutput(); err != nil {
		t.Fatalf("CAS_TEST_DISALLOW_SKIP=1 forbids to skip: %v\n%s", err, out)
	}
}
