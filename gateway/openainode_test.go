package gateway_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
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
		modules := castest.NodeModules(t, nodeSuite)
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
