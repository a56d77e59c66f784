package mcpserver

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// streamOf answers chats with one event of a stream.
func streamOf(event string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Casgate-Provider", "kimi")
		_, _ = io.WriteString(w, "data: "+event+"\n\ndata: [DONE]\n\n")
	}
}

func noProgress() *mcp.CallToolRequest {
	return &mcp.CallToolRequest{Params: &mcp.CallToolParamsRaw{}}
}

// An answer that reached the most tokens says so, and names the model that answered.
func TestAskModelSaysThatAnAnswerIsCut(t *testing.T) {
	t.Parallel()
	g := &fakeGateway{chat: streamOf(`{"model":"kimi-k2.6-0905","choices":[{"delta":{"content":"Hel"},"finish_reason":"length"}]}`)}
	s := g.newTools(t)
	in := askModelIn{Prompt: "hi", Model: "kimi/kimi-k2.6", MaxTokens: 1}
	got, err := s.askModel(t.Context(), noProgress(), in)
	if err != nil || got.out.Answer != "Hel" || !got.out.Cut || !strings.Contains(got.out.CutReason, "most tokens") || got.out.Model != "kimi-k2.6-0905" || !strings.Contains(contentText(got.content), "not whole") {
		t.Errorf("%+v, %s, %v", got.out, contentText(got.content), err)
	}
	g.chat = streamOf(`{"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}]}`)
	got, err = s.askModel(t.Context(), noProgress(), in)
	if err != nil || got.out.Cut || got.out.Model != in.Model || strings.Contains(contentText(got.content), "not whole") {
		t.Errorf("a whole one: %+v, %s, %v", got.out, contentText(got.content), err)
	}
}

// An answer ends where it is too long for a result.
func TestAskModelCutsAHugeAnswer(t *testing.T) {
	t.Parallel()
	s := (&fakeGateway{chat: streamOf(`{"choices":[{"delta":{"content":"` + strings.Repeat("语", maxAnswer/2) + `"}}]}`)}).newTools(t)
	got, err := s.askModel(t.Context(), noProgress(), askModelIn{Prompt: "hi", Model: "m"})
	if err != nil || !got.out.Cut || !strings.Contains(got.out.CutReason, "more than 1048576 bytes") || got.out.Answer != strings.Repeat("语", maxAnswer/3) {
		t.Errorf("%t, %s, %d bytes, %v", got.out.Cut, got.out.CutReason, len(got.out.Answer), err)
	}
}

// An answer without a text is an error, which says why.
func TestAskModelWithoutAText(t *testing.T) {
	t.Parallel()
	for event, want := range map[string]string{
		`{}`:             "did not say",
		`{"choices":[]}`: "did not say",
		`{"choices":[{"delta":{"tool_calls":[{}]},"finish_reason":"tool_calls"}]}`:    "a tool",
		`{"choices":[{"delta":{"reasoning_content":"hm"},"finish_reason":"length"}]}`: "most tokens",
		`{"choices":[{"delta":{"content":""},"finish_reason":"stop"}]}`:               "without a text. Ask again",
	} {
		s := (&fakeGateway{chat: streamOf(event)}).newTools(t)
		_, err := s.askModel(t.Context(), noProgress(), askModelIn{Prompt: "hi", Model: "m"})
		if err == nil || !strings.HasPrefix(toolError(err).Error(), "provider_failed: kimi answered without a text") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", event, err)
		}
	}
}

// Files of a question are named as in all other tools.
func TestAskModelNamesFiles(t *testing.T) {
	t.Parallel()
	g := &fakeGateway{content: []byte("x"), chat: streamOf(`{"choices":[{"delta":{"content":"x"}}]}`)}
	s := g.newTools(t)
	d := g.digest().String()
	files := []string{"file-1", d, "https://files.example.com/v1/blobs/" + d + "?sig=x"}
	if _, err := s.askModel(t.Context(), noProgress(), askModelIn{Prompt: "hi", Model: "m", Files: files}); err != nil {
		t.Fatal(err)
	}
	if len(g.chats) != 1 || strings.Count(g.chats[0], `"file_id":"`+d+`"`) != 2 || !strings.Contains(g.chats[0], `"file_id":"file-1"`) {
		t.Errorf("sent %q", g.chats)
	}
	for _, bad := range []string{"", "https://evil.example/x", "sha256:x"} {
		if _, err := s.askModel(t.Context(), noProgress(), askModelIn{Prompt: "hi", Model: "m", Files: []string{bad}}); codeOf(err) != "invalid_request" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if len(g.chats) != 1 {
		t.Errorf("sent %d chats", len(g.chats))
	}
}

// What the server says of itself is true of each tool's arguments.
func TestInstructionsNameTheToolsThatTakeDigests(t *testing.T) {
	t.Parallel()
	_, claim, _ := strings.Cut(instructions, "a digest (sha256:…): ")
	claim, _, _ = strings.Cut(claim, " take either")
	session := newAgent(t, Options{Client: (&fakeGateway{}).newClient(t), LocalFiles: noFiles{}})
	list, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var taking []string
	for _, tool := range list.Tools {
		schema, _ := tool.InputSchema.(map[string]any)
		properties, _ := schema["properties"].(map[string]any)
		for _, name := range []string{"file", "files"} {
			property, _ := properties[name].(map[string]any)
			if about, _ := property["description"].(string); strings.Contains(about, "digest") {
				taking = append(taking, tool.Name)
			}
		}
	}
	named := strings.FieldsFunc(strings.ReplaceAll(claim, " and ", ", "), func(r rune) bool { return r == ',' || r == ' ' })
	if slices.Sort(taking); len(taking) == 0 || !slices.Equal(taking, slices.Sorted(slices.Values(named))) {
		t.Errorf("%v take digests, and the instructions name %v", taking, named)
	}
}
