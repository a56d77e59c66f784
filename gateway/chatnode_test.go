package gateway_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"casgate/cas/castest"
)

// chatSuite is where the tests of chats that run in Node lie.
const chatSuite = "../scripts/chat-node"

// TestChatsOfNodeClients runs OpenAI's own client for Node and the Vercel AI SDK against a
// gateway with simulated providers.
func TestChatsOfNodeClients(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("it installs packages, and takes some seconds; make test runs it")
	}
	modules := castest.NodeModules(t, chatSuite)
	s, _, _ := startChain(t, embedded(t, t.TempDir()))
	// Node looks for modules beside the program.
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(chatSuite)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	suite := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=tap")
	suite.Dir = dir
	suite.Env = append(os.Environ(), "OPENAI_BASE_URL="+s.url+"/v1", "OPENAI_API_KEY="+s.token, "OPENAI_ORG_ID=", "OPENAI_PROJECT_ID=")
	out, err := suite.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("\n# pass ")) || bytes.Contains(out, []byte("\n# pass 0\n")) {
		t.Errorf("%v\n%s", err, out)
	}
}
