package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"casgate/cas/castest"
)

// The README's programs for OpenAI's SDKs get an answer about a file. The one for Node runs
// with the SDK itself. The one for Python does if Python has the SDK; else it runs with a
// stand-in that has the three names of the SDK which the program uses, and sends the request
// by Python's own library. Then the test shows that program and gateway agree, and not that the
// SDK takes these arguments.
func TestREADMESnippets(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("in the thorough tests only")
	}
	t.Parallel()
	modules := castest.NodeModules(t, "../../scripts/openai-node")
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("CAS_TEST_DISALLOW_SKIP") != "1" {
			t.Skip("not installed: python3")
		}
		if out, err := exec.CommandContext(t.Context(), "../../scripts/debian-install", "python3").CombinedOutput(); err != nil {
			t.Fatalf("CAS_TEST_DISALLOW_SKIP=1 forbids to skip: %v\n%s", err, out)
		}
	}
	data := t.TempDir()
	p := serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + data, "CAS_AUTH=tokens"}, "serve", "--simulate-providers"))
	secret, err := os.ReadFile(filepath.Join(data, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(secret))
	form := "--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"README.md\"\r\n\r\n# casgate\r\n--x--\r\n"
	answer := ask(t, http.MethodPost, p.url+"/v1/files", []byte(form), "Authorization", "Bearer "+token, "Content-Type", "multipart/form-data; boundary=x")
	var file struct{ ID string }
	if err := json.Unmarshal(answer.body, &file); err != nil || file.ID == "" {
		t.Fatalf("%d %s", answer.status, answer.body)
	}
	folder := t.TempDir()
	if err := os.Symlink(modules, filepath.Join(folder, "node_modules")); err != nil {
		t.Fatal(err)
	}
	snippet := func(language string) string {
		return strings.ReplaceAll(documentedIn(t, "../README.md", language), "http://127.0.0.1:8080", p.url)
	}
	runSnippet(t, folder, "node", "snippet.mjs", "import OpenAI from 'openai';\nconst token = process.env.TOKEN, fileId = process.env.FILE;\n"+
		snippet("js")+"console.log(answer.choices[0].message.content);\n", "TOKEN="+token, "FILE="+file.ID)
	if err := exec.CommandContext(t.Context(), "python3", "-c", "import openai").Run(); err != nil {
		t.Log("Python has no module openai: the stand-in is used")
		if err := os.WriteFile(filepath.Join(folder, "openai.py"), []byte(pythonStandIn), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	runSnippet(t, folder, "python3", "snippet.py", "import os\ntoken, file_id = os.environ['TOKEN'], os.environ['FILE']\n"+
		snippet("python")+"print(answer.choices[0].message.content)\n", "TOKEN="+token, "FILE="+file.ID)
}

// pythonStandIn has the names of OpenAI's SDK that the README uses.
const pythonStandIn = `
import json, types, urllib.request

class OpenAI:
    def __init__(self, *, base_url, api_key):
        def create(**body):
            request = urllib.request.Request(base_url.rstrip("/") + "/chat/completions", json.dumps(body).encode(),
                {"Authorization": "Bearer " + api_key, "Content-Type": "application/json"})
            with urllib.request.urlopen(request) as answer:
                return json.load(answer, object_hook=lambda members: types.SimpleNamespace(**members))
        self.chat = types.SimpleNamespace(completions=types.SimpleNamespace(create=create))
`

// runSnippet runs a program, which must print an answer of a simulated model.
func runSnippet(t *testing.T, folder, interpreter, name, program string, env ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), interpreter, name)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "SIMULATED") {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
}
