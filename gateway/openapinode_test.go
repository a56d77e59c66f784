package gateway_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"casgate/cas/castest"
)

// openAPISuite is where the tests of the description lie that run in Node.
const openAPISuite = "../scripts/openapi-node"

// The served description has no error and no warning, and the client that is made from it
// compiles and works.
func TestClientFromOpenAPI(t *testing.T) {
	castest.Slow(t)
	modules := castest.NodeModules(t, openAPISuite)
	s := start(t, embedded(t, t.TempDir()), nil)
	// Node looks for modules beside the program.
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(openAPISuite)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"openapi.yaml", "openapi.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), s.do("GET", "/"+name, nil).body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(program string, args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CASGATE_URL="+s.url, "CASGATE_TOKEN="+s.token,
			"REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s\n%s", program, args, err, out, &stderr)
		}
		return out
	}
	for _, name := range []string{"openapi.yaml", "openapi.json"} {
		var report struct {
			Totals struct{ Errors, Warnings, Ignored int }
		}
		out := run("node_modules/.bin/redocly", "lint", "--format=json", name)
		if err := json.Unmarshal(out, &report); err != nil || report.Totals.Errors+report.Totals.Warnings+report.Totals.Ignored > 0 {
			t.Errorf("redocly on %s: %v\n%s", name, err, out)
		}
	}
	run("node_modules/.bin/openapi-typescript", "openapi.json", "--output", "schema.d.ts")
	run("node_modules/.bin/tsc", "--project", ".")
	run("node", "built/client.js")
	wantNoPanic(t, s)
}
