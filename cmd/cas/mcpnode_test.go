package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"casgate/cas/castest"
)

// The protocol's inspector starts the command, and stores a local file.
func TestMCPInspectorOverStdio(t *testing.T) {
	castest.Slow(t)
	t.Parallel()
	dir := castest.NodeSuite(t, "../../scripts/mcp-node")
	gateway := serveProcess(t, casCommand(t, embeddedEnv(t), "serve"))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// TestMain takes a process of this name for the command. The inspector looks for
	// package.json above the working folder.
	cas, work := filepath.Join(dir, "cas"), filepath.Join(dir, "work")
	err = os.Symlink(self, cas)
	if err == nil {
		err = os.Mkdir(work, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(work, "a.md"), []byte("# a"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	inspector := exec.CommandContext(t.Context(), "node", "../node_modules/@modelcontextprotocol/inspector-cli/build/index.js",
		cas, "mcp", "--root", work,
		"--method", "tools/call", "--tool-name", "put_file", "--tool-arg", "path=a.md")
	inspector.Dir = work
	inspector.Env = append(os.Environ(), "CAS_URL="+gateway.url, "CAS_DATA_DIR="+t.TempDir())
	out, err := inspector.CombinedOutput()
	var stored struct {
		StructuredContent struct{ Bytes int }
	}
	if err == nil {
		err = json.Unmarshal(out, &stored)
	}
	if err != nil || stored.StructuredContent.Bytes != 3 {
		t.Errorf("%v\n%s", err, out)
	}
}
