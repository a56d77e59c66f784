package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"casgate/cas/access"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// mcpProcess is a command that starts `cas mcp` for a gateway, in a folder.
func mcpProcess(t *testing.T, gateway *process, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := casCommand(t, []string{"CAS_URL=" + gateway.url, "CAS_DATA_DIR=" + t.TempDir()}, append([]string{"mcp"}, args...)...)
	cmd.Dir = dir
	return cmd
}

// agentOf starts `cas mcp`, and returns the SDK's own client of it.
func agentOf(t *testing.T, cmd *exec.Cmd) *mcp.ClientSession {
	t.Helper()
	var log bytes.Buffer
	cmd.Stderr = &log
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), &mcp.CommandTransport{Command: cmd}, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	t.Cleanup(func() {
		if err := session.Close(); err != nil {
			t.Errorf("cas mcp ended with %v\n%s", err, log.String())
		}
	})
	return session
}

func toolNames(t *testing.T, session *mcp.ClientSession) []string {
	t.Helper()
	list, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	return names
}

// callTool calls a tool, and returns its structured content and its text.
func callTool(t *testing.T, session *mcp.ClientSession, name string, arguments map[string]any) (structured map[string]any, text string, isError bool) {
	t.Helper()
	res, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: arguments})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, content := range res.Content {
		if part, ok := content.(*mcp.TextContent); ok {
			text += part.Text + "\n"
		}
	}
	structured, _ = res.StructuredContent.(map[string]any)
	return structured, text, res.IsError
}

func TestMCPStoresLocalFiles(t *testing.T) {
	t.Parallel()
	gateway := serveProcess(t, casCommand(t, embeddedEnv(t), "serve"))
	dir := t.TempDir()
	for name, content := range map[string]string{"a.md": "# a", "sub/b.md": "# b", ".env": "SECRET=1"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	session := agentOf(t, mcpProcess(t, gateway, dir, "--allow-delete"))
	all := []string{"ask_model", "delete_file", "find_files", "put_file", "read_file", "reference_file", "upload_url"}
	if names := toolNames(t, session); !slices.Equal(names, all) {
		t.Errorf("the tools are %v", names)
	}

	first, text, isError := callTool(t, session, "put_file", map[string]any{"path": "a.md", "tags": []string{"x"}, "context": "c"})
	id, _ := first["file_id"].(string)
	if isError || id == "" || first["deduplicated"] != false || first["bytes"] != 3.0 || strings.Contains(text, "a.md") {
		t.Fatalf("%v %s", first, text)
	}
	again, _, _ := callTool(t, session, "put_file", map[string]any{"path": filepath.Join(dir, "a.md"), "tags": []string{"x"}, "context": "c"})
	if again["file_id"] != id || again["deduplicated"] != true {
		t.Errorf("the same again is %v", again)
	}
	other, _, _ := callTool(t, session, "put_file", map[string]any{"path": "a.md", "context": "other"})
	if other["file_id"] == id {
		t.Error("another context is the same file")
	}
	read, _, _ := callTool(t, session, "read_file", map[string]any{"file": id})
	if read["text"] != "# a" {
		t.Errorf("read %v", read)
	}
	found, _, _ := callTool(t, session, "find_files", map[string]any{"tag": "x"})
	if files, _ := found["files"].([]any); len(files) != 1 {
		t.Errorf("found %v", found)
	}
	if deleted, text, isError := callTool(t, session, "delete_file", map[string]any{"file_id": id}); isError || deleted["deleted"] != true {
		t.Errorf("%v %s", deleted, text)
	}
	// The id of a deleted file must not come back.
	back, text, isError := callTool(t, session, "put_file", map[string]any{"path": "a.md", "tags": []string{"x"}, "context": "c"})
	if isError || back["file_id"] == id {
		t.Fatalf("stored after the delete: %v %s", back, text)
	}
	if read, text, isError := callTool(t, session, "read_file", map[string]any{"file": fmt.Sprint(back["file_id"])}); isError || read["text"] != "# a" {
		t.Errorf("read after that: %v %s", read, text)
	}
	if twice, _, _ := callTool(t, session, "put_file", map[string]any{"path": "a.md", "tags": []string{"x"}, "context": "c"}); twice["file_id"] != back["file_id"] {
		t.Errorf("the same again after the delete is %v", twice)
	}

	var refusals []string
	for _, path := range []string{".env", "../x", "/etc/passwd", "none", "sub"} {
		_, text, isError := callTool(t, session, "put_file", map[string]any{"path": path})
		if !isError || !strings.HasPrefix(text, "path_refused: ") {
			t.Errorf("%s: %t %s", path, isError, text)
		}
		refusals = append(refusals, text)
	}
	if slices.Sort(refusals); len(slices.Compact(refusals)) != 1 {
		t.Errorf("refusals differ: %q", refusals)
	}
}

// The flags take tools away.
func TestMCPFlags(t *testing.T) {
	t.Parallel()
	gateway := serveProcess(t, casCommand(t, embeddedEnv(t), "serve"))
	dir := t.TempDir()
	for _, tt := range []struct {
		dir  string
		args []string
		home string
		want []string
	}{
		{dir, nil, "/nonexistent", []string{"ask_model", "find_files", "put_file", "read_file", "reference_file", "upload_url"}},
		{dir, []string{"--read-only", "--allow-delete"}, "/nonexistent", []string{"find_files", "read_file"}},
		{dir, nil, dir, []string{"ask_model", "find_files", "read_file", "reference_file", "upload_url"}},
	} {
		cmd := mcpProcess(t, gateway, tt.dir, tt.args...)
		cmd.Env = append(cmd.Env, "HOME="+tt.home)
		session := agentOf(t, cmd)
		if names := toolNames(t, session); !slices.Equal(names, tt.want) {
			t.Errorf("%v, home %s: %v", tt.args, tt.home, names)
		}
	}
	cmd := mcpProcess(t, gateway, dir, "--root", dir)
	cmd.Env = append(cmd.Env, "HOME="+dir)
	if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "home folder") {
		t.Errorf("--root of the home folder: %v %s", err, out)
	}
}

// Standard output has the protocol only, whatever goes wrong.
func TestMCPWritesProtocolOnly(t *testing.T) {
	t.Parallel()
	gateway := serveProcess(t, casCommand(t, embeddedEnv(t), "serve"))
	cmd := mcpProcess(t, gateway, t.TempDir())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var sent sync.WaitGroup
	sent.Go(func() {
		for _, line := range []string{
			`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`,
			`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
			`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`,
			`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"put_file","arguments":{"path":"none\nnone"}}}`,
			`{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"read_file","arguments":{"file":"file-none","length":1000000}}}`,
			`{"jsonrpc":"2.0","id":5,"method":"nothing"}`,
			`{"jsonrpc":"2.0","id":6,"method":"resources/list"}`,
		} {
			_, _ = io.WriteString(in, line+"\n") // the answers show what is missing
		}
	})
	answered := map[float64]bool{}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 4<<20)
	for len(answered) < 6 && lines.Scan() {
		var message struct {
			JSONRPC string   `json:"jsonrpc"`
			ID      *float64 `json:"id"`
		}
		if err := json.Unmarshal(lines.Bytes(), &message); err != nil || message.JSONRPC != "2.0" {
			t.Fatalf("standard output has %q: %v", lines.Text(), err)
		}
		if message.ID != nil {
			answered[*message.ID] = true
		}
	}
	sent.Wait()
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	for lines.Scan() {
		if !json.Valid(lines.Bytes()) {
			t.Errorf("at its end, standard output has %q", lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
	if len(answered) < 6 {
		t.Errorf("answered %v\n%s", answered, log.String())
	}
}

// Without a gateway the tools are there, and say what is wrong.
func TestMCPWithoutAGateway(t *testing.T) {
	t.Parallel()
	session := agentOf(t, mcpProcess(t, &process{url: "http://127.0.0.1:1"}, t.TempDir()))
	if _, text, isError := callTool(t, session, "find_files", nil); !isError || !strings.HasPrefix(text, "unreachable: ") {
		t.Errorf("%t %s", isError, text)
	}
}

// A gateway without authentication knows no scopes, and that is no reason to warn.
func TestMCPWarnsOfUnknownScopes(t *testing.T) {
	t.Parallel()
	for code, want := range map[problem.Code]string{
		problem.Forbidden: "", problem.Unauthenticated: "the scopes of the token are unknown", problem.NotFound: "the scopes of the token are unknown",
	} {
		fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(code.Status())
			_ = json.NewEncoder(w).Encode(code.Details("why", ""))
		}))
		defer fake.Close()
		gateway, err := client.New(fake.URL, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer gateway.Close()
		var warned bytes.Buffer
		allows := scopesOf(t.Context(), gateway, terminal.Streams{Err: &warned})
		if !allows(access.ScopeDelete) || !strings.Contains(warned.String(), want) || want == "" && warned.Len() > 0 {
			t.Errorf("%s: warned %q", code, warned.String())
		}
	}
}
