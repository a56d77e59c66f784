package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/castest"
	"casgate/gateway/problem"
)

// bearer sends a token with each request.
type bearer struct{ token string }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return http.DefaultTransport.RoundTrip(r)
}

// agent is a client of the gateway's tools.
type agent struct {
	t *testing.T
	*mcp.ClientSession
}

// newAgent connects an agent that has a token.
func (s *server) newAgent(token string, o *mcp.ClientOptions) agent {
	s.t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, o)
	session, err := client.Connect(s.t.Context(), &mcp.StreamableClientTransport{
		Endpoint: s.url + "/mcp", HTTPClient: &http.Client{Transport: bearer{token}}, DisableStandaloneSSE: true,
	}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	castest.Cleanup(s.t, func() { session.Close() })
	return agent{s.t, session}
}

// called is the result of a tool.
type called struct {
	*mcp.CallToolResult
	text string // of all text content
	json string // the structured content
}

// call calls a tool.
func (a agent) call(name string, arguments map[string]any) called {
	a.t.Helper()
	res, err := a.CallTool(a.t.Context(), &mcp.CallToolParams{Name: name, Arguments: arguments})
	if err != nil {
		a.t.Fatalf("%s: %v", name, err)
	}
	c := called{CallToolResult: res}
	for _, content := range res.Content {
		if text, ok := content.(*mcp.TextContent); ok {
			c.text += text.Text + "\n"
		}
	}
	structured, err := json.Marshal(res.StructuredContent)
	if err != nil {
		a.t.Fatal(err)
	}
	c.json = string(structured)
	return c
}

// into decodes the structured content of a call that must have succeeded.
func (c called) into(t *testing.T, v any) {
	t.Helper()
	if c.IsError {
		t.Fatalf("it failed: %s", c.text)
	}
	if err := json.Unmarshal([]byte(c.json), v); err != nil {
		t.Fatalf("%s: %v", c.json, err)
	}
}

// wantError checks that a call failed with a code, in text that the model reads.
func (c called) wantError(t *testing.T, code string) {
	t.Helper()
	if !c.IsError || !strings.HasPrefix(c.text, code+": ") {
		t.Errorf("want the error %s, got %t: %s", code, c.IsError, c.text)
	}
}

type object = map[string]any

// readAnswer is the structured content of read_file.
type readAnswer struct {
	Kind, Text, URL, SHA256, Note string
	Bytes                         int64
	NextOffset                    int64 `json:"next_offset"`
}

// Every tool works over HTTP for an agent that is the SDK's own client.
func TestAgentsToolsOverHTTP(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		s := startChat(t, p, nil)
		s.kimiChat.answers(func(_ int, w http.ResponseWriter, _ *http.Request) { streamHello(w) })
		a := s.newAgent(s.token, nil)

		var upload struct{ URL, Method, Curl string }
		a.call("upload_url", object{"filename": "notes.md", "max_bytes": 1000, "expires_in": 60}).into(t, &upload)
		content := "# Notes\n" + strings.Repeat("häßlich ", 40)
		put := s.do(upload.Method, upload.URL, strings.NewReader(content), "Authorization", "-")
		var stored struct{ ID string }
		if err := json.Unmarshal(put.body, &stored); err != nil || put.StatusCode != 200 || !strings.HasPrefix(upload.Curl, "curl -T FILE ") {
			t.Fatalf("%d %s, %v, %q", put.StatusCode, put.body, err, upload.Curl)
		}

		var found struct {
			Files []struct {
				FileID   string `json:"file_id"`
				Filename string
				SHA256   string
				Bytes    int64
			}
			Next string
		}
		a.call("find_files", object{"name_prefix": "notes"}).into(t, &found)
		if len(found.Files) != 1 || found.Files[0].FileID != stored.ID || found.Files[0].Bytes != int64(len(content)) || found.Next != "" {
			t.Fatalf("found %+v", found)
		}
		d := cas.DigestOf([]byte(content))

		for _, name := range []string{stored.ID, d.String(), s.url + s.path(d)} {
			read := a.call("read_file", object{"file": name})
			var got readAnswer
			read.into(t, &got)
			if got.Kind != "text" || got.Text != content || got.SHA256 != d.Hex() || got.NextOffset != 0 || !strings.Contains(read.text, content) || !strings.Contains(read.text, "data") {
				t.Errorf("%s: %s\n%s", name, read.json, read.text)
			}
		}
		var whole strings.Builder
		for offset := int64(0); ; {
			var got readAnswer
			a.call("read_file", object{"file": stored.ID, "offset": offset, "length": 10}).into(t, &got)
			whole.WriteString(got.Text)
			if offset = got.NextOffset; offset == 0 {
				break
			}
		}
		if whole.String() != content {
			t.Errorf("the parts are %q", whole.String())
		}
		var link readAnswer
		linked := a.call("read_file", object{"file": stored.ID, "as": "link"})
		linked.into(t, &link)
		if got := s.do("GET", link.URL, nil, "Authorization", "-"); string(got.body) != content || !slices.ContainsFunc(linked.Content, isLink) {
			t.Errorf("the link: %d %s", got.StatusCode, got.body)
		}

		var reference struct {
			Provider, Kind string
			Value          any
		}
		a.call("reference_file", object{"file": stored.ID, "provider": "kimi"}).into(t, &reference)
		if reference.Provider != "kimi" || reference.Kind == "" || reference.Value == nil {
			t.Errorf("the reference: %+v", reference)
		}

		var answer struct{ Answer, Provider string }
		a.call("ask_model", object{"prompt": "What is in it?", "files": []string{stored.ID}, "model": "kimi/kimi-k2.6", "max_tokens": 100}).into(t, &answer)
		sent := s.kimiChat.chats()
		if answer.Answer != "Hello" || answer.Provider != "kimi" || len(sent) != 1 || !strings.Contains(sent[0].body, "What is in it?") || strings.Contains(sent[0].body, stored.ID) {
			t.Errorf("the answer: %+v, asked with %+v", answer, sent)
		}

		var deleted struct {
			Deleted bool
			Content string
			Copies  []struct{ Provider, State string }
		}
		a.call("delete_file", object{"file_id": stored.ID, "everywhere": true}).into(t, &deleted)
		if !deleted.Deleted || deleted.Content != "deleted" || len(deleted.Copies) == 0 {
			t.Errorf("deleted: %+v", deleted)
		}
		a.call("read_file", object{"file": stored.ID}).wantError(t, "file_not_found")
		wantNoPanic(t, s.server)
	})
}

// streamHello answers a chat with a stream of two pieces.
func streamHello(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, text := range []string{"Hel", "lo"} {
		fmt.Fprintf(w, "data: {\"choices\":[{\"delta\":{\"content\":%q}}]}\n\n", text)
	}
	_, _ = io.WriteString(w, "data: {\"choices\":[],\"usage\":{\"total_tokens\":7}}\n\ndata: [DONE]\n\n")
}

func isLink(c mcp.Content) bool { _, ok := c.(*mcp.ResourceLink); return ok }

// A file comes in the form that a model can take in.
func TestAgentReadsEachForm(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, nil, nil)
		a := s.newAgent(s.token, nil)
		var picture bytes.Buffer
		if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 3, 3))); err != nil {
			t.Fatal(err)
		}
		for name, tt := range map[string]struct {
			content   string
			as        string
			kind      string
			errorCode string
		}{
			"a.md":     {"# text", "", "text", ""},
			"a.json":   {`{"a":1}`, "", "text", ""},
			"a.csv":    {"", "", "text", ""},
			"a.png":    {picture.String(), "", "image", ""},
			"b.png":    {picture.String(), "link", "link", ""},
			"a.bin":    {"\x00\x01\x02", "", "link", ""},
			"b.txt":    {"no \xff UTF-8", "", "link", ""},
			"c.txt":    {"no \xff UTF-8", "text", "", "invalid_request"},
			"big.png":  {picture.String() + strings.Repeat("x", 1<<20), "", "link", ""},
			"page.svg": {`<svg xmlns="http://www.w3.org/2000/svg"/>`, "", "text", ""},
		} {
			mediaType := map[string]string{"md": "text/markdown", "json": "application/json", "csv": "text/csv", "png": "image/png", "bin": "application/octet-stream", "txt": "text/plain", "svg": "image/svg+xml"}[name[strings.LastIndex(name, ".")+1:]]
			f := s.newFile(name, tt.content, field("media_type", mediaType))
			arguments := object{"file": f.ID}
			if tt.as != "" {
				arguments["as"] = tt.as
			}
			got := a.call("read_file", arguments)
			if tt.errorCode != "" {
				got.wantError(t, tt.errorCode)
				continue
			}
			var answer readAnswer
			got.into(t, &answer)
			if answer.Kind != tt.kind || answer.Bytes != int64(len(tt.content)) || answer.Kind == "text" && answer.Text != tt.content {
				t.Errorf("%s: %s", name, got.json)
			}
			if hasText := strings.Contains(got.json, `"text":`); hasText != (tt.kind == "text") { // an empty text, too
				t.Errorf("%s: %s", name, got.json)
			}
			if tt.kind == "image" {
				if shown, ok := got.Content[0].(*mcp.ImageContent); !ok || !bytes.Equal(shown.Data, picture.Bytes()) || shown.MIMEType != "image/png" {
					t.Errorf("%s: %+v", name, got.Content[0])
				}
			}
		}
		for _, bad := range []string{"", "file-none", "a/b", "sha256:x", cas.DigestOf([]byte("none")).String(), "https://evil.example/x"} {
			if got := a.call("read_file", object{"file": bad}); !got.IsError {
				t.Errorf("%q: %s", bad, got.json)
			}
		}
	})
}

// A token without a scope sees no tool that needs it, and the tools of others need it still.
func TestAgentHasTheRightsOfItsToken(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		f := s.newFile("a.txt", "text")
		for _, tt := range []struct {
			scopes []access.Scope
			tools  []string
		}{
			{[]access.Scope{access.ScopeRead}, []string{"find_files", "read_file"}},
			{[]access.Scope{access.ScopeWrite}, []string{"upload_url"}},
			{[]access.Scope{access.ScopeSync}, []string{"reference_file"}},
			{[]access.Scope{access.ScopeDelete}, []string{"delete_file"}},
			{[]access.Scope{access.ScopeChat}, nil},
			{[]access.Scope{access.ScopeChat, access.ScopeRead}, []string{"ask_model", "find_files", "read_file"}},
			{[]access.Scope{access.ScopeAdmin}, []string{"ask_model", "delete_file", "find_files", "read_file", "reference_file", "upload_url"}},
		} {
			a := s.newAgent(s.newToken(tt.scopes...), nil)
			list, err := a.ListTools(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, tool := range list.Tools {
				names = append(names, tool.Name)
				if tool.InputSchema == nil || tool.OutputSchema == nil || tool.Annotations == nil || tool.Annotations.DestructiveHint == nil || tool.Annotations.OpenWorldHint == nil || tool.Title == "" || tool.Description == "" {
					t.Errorf("%s lacks a part of its description", tool.Name)
				}
			}
			if slices.Sort(names); !slices.Equal(names, tt.tools) {
				t.Errorf("%v sees %v, want %v", tt.scopes, names, tt.tools)
			}
		}
		// A tool that is not listed can't be called either.
		a := s.newAgent(s.newToken(access.ScopeRead), nil)
		if res, err := a.CallTool(t.Context(), &mcp.CallToolParams{Name: "delete_file", Arguments: object{"file_id": f.ID}}); err == nil && !res.IsError {
			t.Error("a token without delete deleted a file")
		}
		deleter := s.newAgent(s.newToken(access.ScopeDelete), nil)
		deleter.call("delete_file", object{"file_id": f.ID, "everywhere": true}).wantError(t, "forbidden")
	})
}

// The journal names the token, and the rate limit counts.
func TestAgentsRequestsAreRecorded(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		token := s.newToken(access.ScopeRead, access.ScopeDelete)
		f := s.newFile("a.txt", "text")
		a := s.newAgent(token, nil)
		a.call("delete_file", object{"file_id": f.ID})
		eventually(t, "the record", func() bool {
			page := s.do("GET", "/v1/operations?kind=delete&actor="+actor(token), nil)
			return strings.Contains(string(page.body), f.ID)
		})
	})
}

func TestAgentResources(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		text := s.newFile("a.md", "# text")
		s.newFile("b.bin", "\x00\x01")
		large := s.newFile("c.txt", strings.Repeat("x", 256<<10+1))
		empty := s.newFile("d.txt", "")
		a := s.newAgent(s.token, nil)
		list, err := a.ListResources(t.Context(), nil)
		if err != nil || len(list.Resources) != 4 || list.Resources[0].URI != "casgate://file/"+empty.ID || list.NextCursor != "" || list.CacheScope != "private" {
			t.Fatalf("%+v, %v", list, err)
		}
		for uri, want := range map[string]string{
			"casgate://file/" + text.ID: "# text", "casgate://sha256/" + text.Digest().Hex(): "# text",
			"casgate://sha256/" + cas.DigestOf([]byte("\x00\x01")).Hex(): "\x00\x01", "casgate://file/" + empty.ID: "",
		} {
			res, err := a.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: uri})
			if err != nil || len(res.Contents) != 1 || res.Contents[0].Text+string(res.Contents[0].Blob) != want {
				t.Errorf("%s: %+v, %v", uri, res, err)
			}
		}
		if _, err := a.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "casgate://file/" + large.ID}); err == nil || !strings.Contains(err.Error(), `as="link"`) {
			t.Errorf("a large one: %v", err)
		}
		for _, uri := range []string{"casgate://file/file-none", "casgate://sha256/" + strings.Repeat("0", 64), "casgate://other/x", "file:///etc/passwd"} {
			if res, err := a.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: uri}); err == nil {
				t.Errorf("%s: %+v", uri, res)
			}
		}
		none := s.newAgent(s.newToken(access.ScopeWrite), nil)
		if res, err := none.ListResources(t.Context(), nil); err == nil && len(res.Resources) > 0 {
			t.Errorf("without the scope read: %+v", res)
		}
	})
}

// Pages of resources go on where the one before ended.
func TestAgentResourcePages(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), nil)
	want := map[string]bool{}
	for i := range 101 {
		want["casgate://file/"+s.newFile(fmt.Sprint(i), "same").ID] = true
	}
	a := s.newAgent(s.token, nil)
	for r, err := range a.Resources(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if !want[r.URI] {
			t.Errorf("%s is there twice, or is no file", r.URI)
		}
		delete(want, r.URI)
	}
	if len(want) > 0 {
		t.Errorf("%d files are missing", len(want))
	}
}

// An agent that asks for it hears that the work goes on.
func TestAgentHearsOfProgress(t *testing.T) {
	t.Parallel()
	s := startChat(t, embedded(t, t.TempDir()), nil)
	heard := make(chan string, 100)
	a := s.newAgent(s.token, &mcp.ClientOptions{ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
		select {
		case heard <- r.Params.Message:
		default:
		}
	}})
	release := make(chan struct{})
	s.kimiChat.answers(func(_ int, w http.ResponseWriter, _ *http.Request) {
		<-release
		streamHello(w)
	})
	var once sync.Once
	castest.Cleanup(t, func() { once.Do(func() { close(release) }) })
	go func() {
		select {
		case <-heard: // while the model has not answered
		case <-t.Context().Done():
		}
		once.Do(func() { close(release) })
	}()
	params := &mcp.CallToolParams{Name: "ask_model", Arguments: object{"prompt": "hi", "model": "kimi/kimi-k2.6"}}
	params.SetProgressToken("p")
	res, err := a.CallTool(t.Context(), params)
	if err != nil || res.IsError {
		t.Fatalf("%+v, %v", res, err)
	}
	if text := fmt.Sprint(res.StructuredContent); !strings.Contains(text, "Hello") || !strings.Contains(text, "total_tokens:7") {
		t.Errorf("the answer is %s", text)
	}
}

// An agent hears how long the provider wants it to wait.
func TestAgentHearsHowLongToWait(t *testing.T) {
	t.Parallel()
	c := startChat(t, embedded(t, t.TempDir()), nil)
	c.kimiChat.answers(func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"error":{"message":"slow down"}}`)
	})
	got := c.newAgent(c.token, nil).call("ask_model", object{"prompt": "hi", "model": "kimi/kimi-k2.6"})
	if got.wantError(t, "provider_rate_limited"); !strings.Contains(got.text, "in 30 s") {
		t.Error(got.text)
	}
}

// The path takes tokens and nothing else, and what is too large or no protocol gets an error.
func TestMCPRefuses(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		ping := `{"jsonrpc":"2.0","id":1,"method":"ping"}`
		post := func(body string, headers ...string) answer {
			return s.do("POST", "/mcp", strings.NewReader(body), append([]string{"Content-Type", "application/json", "Accept", "application/json, text/event-stream"}, headers...)...)
		}
		if a := post(ping); a.StatusCode != 200 || !strings.Contains(string(a.body), `"result"`) {
			t.Errorf("ping: %d %s", a.StatusCode, a.body)
		}
		a := post(ping, "Authorization", "-")
		a.wantProblem(t, 401, problem.Unauthenticated)
		if !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("no WWW-Authenticate: %v", a.Header)
		}
		login := s.do("POST", "/console/session", strings.NewReader(`{"token":"`+s.token+`"}`), "Authorization", "-", "Content-Type", "application/json")
		cookie, _, _ := strings.Cut(login.Header.Get("Set-Cookie"), ";")
		post(ping, "Authorization", "-", "Cookie", cookie).wantProblem(t, 401, problem.Unauthenticated)
		post(ping[:len(ping)-1]+`,"params":{"x":"`+strings.Repeat("x", 4<<20)+`"}}`).wantProblem(t, 413, problem.RequestTooLarge)
		if a := post(ping, "Content-Type", "text/plain"); a.StatusCode != 415 {
			t.Errorf("text/plain: %d %s", a.StatusCode, a.body)
		}
		for _, changed := range []string{`{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, `{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}`} {
			post(changed).wantProblem(t, 400, problem.InvalidRequest)
		}
		if a := post("no JSON"); a.StatusCode != 400 {
			t.Errorf("no JSON: %d %s", a.StatusCode, a.body)
		}
		s.do("GET", "/mcp", nil).wantProblem(t, 405, problem.MethodNotAllowed)
		s.do("DELETE", "/mcp", nil).wantProblem(t, 405, problem.MethodNotAllowed)
		wantNoPanic(t, s)
	})
}

func TestMCPOff(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.MCPOff = true })
		s.do("POST", "/mcp", strings.NewReader(`{}`)).wantProblem(t, 404, problem.NotFound)
	})
}

// Where there is no authentication, agents need no token, and pages of other origins have
// no tools.
func TestMCPWithoutAuthentication(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), func(o *gatewayOptions, _ *cas.Options) { o.NoAuth = true })
	a := s.newAgent("", nil)
	f := s.newFile("a.txt", "text")
	var got readAnswer
	a.call("read_file", object{"file": f.ID}).into(t, &got)
	if got.Text != "text" {
		t.Errorf("read %+v", got)
	}
	page := s.do("POST", "/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), "Content-Type", "application/json", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	page.wantProblem(t, 403, problem.Forbidden)
}

// A tool whose gateway stops ends with an error, and the stop waits for it.
func TestGatewayStopsWhileAnAgentAsks(t *testing.T) {
	t.Parallel()
	s := startChat(t, embedded(t, t.TempDir()), nil)
	a := s.newAgent(s.token, nil)
	asked, release := make(chan struct{}), make(chan struct{})
	s.kimiChat.answers(func(_ int, w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}`)
	})
	answered := make(chan error, 1)
	go func() {
		res, err := a.CallTool(t.Context(), &mcp.CallToolParams{Name: "ask_model", Arguments: object{"prompt": "hi", "model": "kimi/kimi-k2.6"}})
		if err == nil && res.IsError {
			err = fmt.Errorf("a tool error: %+v", res.Content)
		}
		answered <- err
	}()
	<-asked
	stopped := make(chan struct{})
	go func() { defer close(stopped); s.stop() }()
	eventually(t, "the stop to begin", func() bool { return strings.Contains(s.logs.String(), "stopping") })
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("an answer under way at the stop: %v", err)
	}
	<-stopped
}
