package gateway_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
)

// mcpSuite has the protocol's own tools.
const mcpSuite = "../scripts/mcp-node"

// The scenarios of the protocol's conformance suite that need no tools of its own pass.
func TestMCPConformance(t *testing.T) {
	castest.Slow(t)
	t.Parallel()
	dir := castest.NodeSuite(t, mcpSuite)
	s := start(t, embedded(t, t.TempDir()), func(o *gatewayOptions, _ *cas.Options) { o.NoAuth = true }) // it sends no token
	s.newFile("a.md", "# text")
	for _, scenario := range []string{"server-initialize", "ping", "tools-list", "resources-list", "dns-rebinding-protection"} {
		suite := exec.CommandContext(t.Context(), "node", "--import", "./node20.mjs", "node_modules/.bin/conformance", "server", "--url", s.url+"/mcp", "--scenario", scenario)
		suite.Dir = dir
		if out, err := suite.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", scenario, err, out)
		}
	}
}

// The protocol's inspector lists and calls tools with a token.
func TestMCPInspector(t *testing.T) {
	castest.Slow(t)
	t.Parallel()
	dir := castest.NodeSuite(t, mcpSuite)
	s := start(t, embedded(t, t.TempDir()), nil)
	s.newFile("a.md", "# text")
	// The inspector looks for package.json above the working folder.
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	inspect := func(answer any, args ...string) {
		t.Helper()
		inspector := exec.CommandContext(t.Context(), "node", append([]string{"../node_modules/@modelcontextprotocol/inspector-cli/build/index.js", s.url + "/mcp", "--transport", "http", "--header", "Authorization: Bearer " + s.token}, args...)...)
		inspector.Dir = work
		out, err := inspector.Output()
		if err == nil {
			err = json.Unmarshal(out, answer)
		}
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	var list struct{ Tools []struct{ Name string } }
	if inspect(&list, "--method", "tools/list"); len(list.Tools) != 6 {
		t.Errorf("the tools are %+v", list)
	}
	var found struct {
		StructuredContent struct{ Files []struct{ Filename string } }
	}
	if inspect(&found, "--method", "tools/call", "--tool-name", "find_files", "--tool-arg", "name_prefix=a"); len(found.StructuredContent.Files) != 1 {
		t.Errorf("found %+v", found)
	}
}
