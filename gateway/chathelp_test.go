package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// modelServer is a provider's chat that answers as a test wants.
type modelServer struct {
	*httptest.Server
	key string

	mu     sync.Mutex
	models []string
	sent   []sentChat
	// answer answers the nth chat, from 1; nil: 200 with a short answer.
	answer func(n int, w http.ResponseWriter, r *http.Request)
}

// sentChat is a request that has arrived.
type sentChat struct {
	header http.Header
	body   string
}

const shortAnswer = `{"id":"1","object":"chat.completion","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"cached_tokens":3}}`

func newModelServer(t *testing.T, models ...string) *modelServer {
	m := &modelServer{key: "key-of-the-provider-" + t.Name(), models: models}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /models", m.list)
	mux.HandleFunc("POST /chat/completions", m.chat)
	m.Server = httptest.NewServer(mux)
	castest.Cleanup(t, m.Close)
	return m
}

func (m *modelServer) list(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+m.key {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var list struct {
		Data []map[string]any `json:"data"`
	}
	for _, name := range m.models {
		list.Data = append(list.Data, map[string]any{"id": name, "object": "model", "created": 1700000000, "owned_by": "somebody"})
	}
	_ = json.NewEncoder(w).Encode(list) // the gateway's test would notice
}

func (m *modelServer) chat(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the request broke off
	}
	m.mu.Lock()
	m.sent = append(m.sent, sentChat{r.Header.Clone(), string(body)})
	n, answer := len(m.sent), m.answer
	m.mu.Unlock()
	if answer != nil {
		answer(n, w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, shortAnswer)
}

// answers sets how chats are answered.
func (m *modelServer) answers(answer func(n int, w http.ResponseWriter, r *http.Request)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = answer
}

// chats returns the chats that have arrived.
func (m *modelServer) chats() []sentChat {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]sentChat(nil), m.sent...)
}

func (m *modelServer) api() providers.ChatAPI {
	return providers.ChatAPI{
		URL: m.URL + "/chat/completions", ModelsURL: m.URL + "/models", Inline: []string{"image_url", "video_url"},
		Authorize: func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+m.key) },
	}
}

// talker is a remote with chats. Its references are those of a provider of that kind.
type talker struct {
	reader
	chat  providers.ChatAPI
	place providers.Place // of documents: part as a text, or message by id
}

func (p talker) Chat() providers.ChatAPI { return p.chat }

func (p talker) References(mediaType, _ string) []providers.ReferenceKind {
	if strings.HasPrefix(mediaType, "image/") {
		return []providers.ReferenceKind{{Name: "image_url", Needs: providers.NeedCopy, Purpose: "image", Place: providers.PlacePart, Request: providers.RequestChat}}
	}
	if strings.HasPrefix(mediaType, "video/") {
		return []providers.ReferenceKind{{Name: "video_file", Needs: providers.NeedCopy, Purpose: "file-extract", Place: providers.PlaceValue, Request: "POST /video"}}
	}
	if p.place == providers.PlaceMessage {
		return []providers.ReferenceKind{{Name: "file_id", Needs: providers.NeedCopy, Purpose: "file-extract", Place: providers.PlaceMessage, Request: providers.RequestChat}}
	}
	return []providers.ReferenceKind{{Name: "text_part", Needs: providers.NeedText, Purpose: "file-extract", Place: providers.PlacePart, Request: providers.RequestChat}}
}

func (p talker) Reference(kind providers.ReferenceKind, m providers.Material) ([]byte, error) {
	switch kind.Name {
	case "image_url":
		return fmt.Appendf(nil, `{"type":"image_url","image_url":{"url":"ms://%s"}}`, m.FileID), nil
	case "file_id":
		return fmt.Appendf(nil, `{"role":"system","content":"fileid://%s"}`, m.FileID), nil
	}
	text, err := json.Marshal(m.Text)
	return fmt.Appendf(nil, `{"type":"text","text":%s}`, text), err
}

// urlTalker is a remote with chats that reads files at URLs, or takes images as base64.
type urlTalker struct {
	*remote
	chat providers.ChatAPI
}

func (p urlTalker) Chat() providers.ChatAPI { return p.chat }

func (p urlTalker) References(mediaType, _ string) []providers.ReferenceKind {
	byURL := providers.ReferenceKind{Name: "file_url", Needs: providers.NeedURL, Place: providers.PlacePart, Request: providers.RequestChat}
	if strings.HasPrefix(mediaType, "image/") {
		return []providers.ReferenceKind{byURL, {Name: "image_base64", Needs: providers.NeedBytes, Place: providers.PlacePart, Request: providers.RequestChat}}
	}
	return []providers.ReferenceKind{byURL}
}

func (p urlTalker) Reference(kind providers.ReferenceKind, m providers.Material) ([]byte, error) {
	return json.Marshal(map[string]any{"type": kind.Name, kind.Name: m.URL + string(m.Bytes)})
}

// chatSetup is a gateway with two providers that have chats.
type chatSetup struct {
	*server
	kimi      *remote
	glmHost   string // where glm is; on this machine it can reach the gateway's URLs
	kimiChat  *modelServer
	glmChat   *modelServer
	placement providers.Place
}

// chatSetups runs a test on the embedded gateway, and in a thorough run on the served one,
// too.
func chatSetups(t *testing.T, test func(t *testing.T, p *parts)) {
	t.Parallel()
	test(t, embedded(t, t.TempDir()))
	if castest.Thorough(1, 0) == 1 {
		t.Run("served", func(t *testing.T) {
			t.Parallel()
			test(t, served(t))
		})
	}
}

// startChat runs a gateway with kimi and glm.
func startChat(t *testing.T, p *parts, change func(*gatewayOptions)) *chatSetup {
	t.Helper()
	c := newChatSetup(t)
	c.withProviders(p)
	c.server = c.another(t, p, change)
	return c
}

// newChatSetup returns the providers, before a gateway runs with them.
func newChatSetup(t *testing.T) *chatSetup {
	return &chatSetup{kimi: newRemote("kimi"), kimiChat: newModelServer(t, "kimi-k2.6", "shared"), glmChat: newModelServer(t, "glm-5v", "shared", "zai/glm-6")}
}

// withProviders gives all gateways on the parts the providers.
func (c *chatSetup) withProviders(p *parts) {
	p.copies = func(o *replicator.Options) {
		glm := newRemote("glm")
		if c.glmHost != "" {
			glm.about.Host = c.glmHost
		}
		chat := c.glmChat.api()
		chat.Inline = nil
		o.Providers = []providers.Guarded{talker{reader{c.kimi}, c.kimiChat.api(), c.placement}, urlTalker{glm, chat}}
		o.Unconfigured = map[string]string{"qwen": "set CAS_QWEN_API_KEY"}
	}
}

// another runs a further gateway.
func (c *chatSetup) another(t *testing.T, p *parts, change func(*gatewayOptions)) *server {
	return start(t, p, func(o *gatewayOptions, _ *cas.Options) {
		o.Chat.Aliases = map[string]string{"gpt-4o": "kimi/kimi-k2.6"}
		if change != nil {
			change(o)
		}
	})
}

// ask sends a chat.
func (s *server) ask(body string, headers ...string) answer {
	s.t.Helper()
	return s.do("POST", "/v1/chat/completions", strings.NewReader(body), append([]string{"Content-Type", "application/json"}, headers...)...)
}

// askOK sends a chat, and wants the provider's short answer.
func (s *server) askOK(body string, headers ...string) answer {
	s.t.Helper()
	a := s.ask(body, headers...)
	if a.StatusCode != 200 || string(a.body) != shortAnswer {
		s.t.Fatalf("chat: %d %s", a.StatusCode, a.body)
	}
	return a
}

// chatOf returns a chat with parts in one message.
func chatOf(model string, parts ...string) string {
	return `{"model":"` + model + `","messages":[{"role":"user","content":[` + strings.Join(parts, ",") + `]}]}`
}

func filePartOf(id string) string { return `{"type":"file","file":{"file_id":"` + id + `"}}` }

func imagePart(url string) string {
	return `{"type":"image_url","image_url":{"url":"` + url + `"}}`
}

// lastChat returns the last chat that has arrived, and wants n in all.
func (m *modelServer) lastChat(t *testing.T, n int) sentChat {
	t.Helper()
	chats := m.chats()
	if len(chats) != n || n == 0 {
		t.Fatalf("%d chats have arrived, want %d", len(chats), n)
	}
	return chats[n-1]
}

// wantChatError checks an error of the gateway's own.
func (a answer) wantChatError(t *testing.T, status int, code string, param string) {
	t.Helper()
	var e struct {
		Error struct {
			Message, Type, Code string
			Param               *string
		}
	}
	if a.StatusCode != status || json.Unmarshal(a.body, &e) != nil || e.Error.Code != code || e.Error.Message == "" || e.Error.Type == "" {
		t.Fatalf("want %d %s, got %d %s", status, code, a.StatusCode, a.body)
	}
	got := ""
	if e.Error.Param != nil {
		got = *e.Error.Param
	}
	if got != param || a.Header.Get("X-Casgate-Error") != "true" {
		t.Errorf("it is about %q, not %q; X-Casgate-Error %q", got, param, a.Header.Get("X-Casgate-Error"))
	}
}

const pngStart = "\x89PNG\r\n\x1a\n"

// newImage stores a picture as a file.
func (s *server) newImage(content string) (id string, d cas.Digest) {
	s.t.Helper()
	f := s.newFile("p.png", pngStart+content)
	return f.ID, f.Digest()
}

// countingIndex counts the calls that a request may make.
type countingIndex struct {
	testIndex
	mu    sync.Mutex
	calls map[string]int
}

func (x *countingIndex) count(call string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.calls[call]++
}

func (x *countingIndex) taken() map[string]int {
	x.mu.Lock()
	defer x.mu.Unlock()
	calls := x.calls
	x.calls = map[string]int{}
	return calls
}

func (x *countingIndex) Blob(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	x.count("Blob")
	return x.testIndex.Blob(ctx, d)
}

func (x *countingIndex) File(ctx context.Context, id string) (cas.File, error) {
	x.count("File")
	return x.testIndex.File(ctx, id)
}

func (x *countingIndex) ListFiles(ctx context.Context, q cas.FileQuery) ([]cas.File, error) {
	x.count("ListFiles")
	return x.testIndex.ListFiles(ctx, q)
}

func (x *countingIndex) CreateFile(ctx context.Context, n cas.NewFile) (cas.File, error) {
	x.count("CreateFile")
	return x.testIndex.CreateFile(ctx, n)
}

func (x *countingIndex) CommitFile(ctx context.Context, b cas.Blob, n cas.NewFile) (cas.FileCommit, error) {
	x.count("CommitFile")
	return x.testIndex.CommitFile(ctx, b, n)
}

func (x *countingIndex) Touch(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	x.count("Touch")
	return x.testIndex.Touch(ctx, d)
}

func (x *countingIndex) Copy(ctx context.Context, k ledger.Key) (ledger.Copy, error) {
	x.count("Copy")
	return x.testIndex.Copy(ctx, k)
}

func (x *countingIndex) ExtractedText(ctx context.Context, k ledger.TextKey) (cas.Digest, error) {
	x.count("ExtractedText")
	return x.testIndex.ExtractedText(ctx, k)
}

func (x *countingIndex) Change(ctx context.Context, t ledger.Transition) (ledger.Copy, bool, error) {
	x.count("Change")
	return x.testIndex.Change(ctx, t)
}
