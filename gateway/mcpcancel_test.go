package gateway_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"casgate/cas/access"
	"casgate/cas/castest"
	"casgate/gateway/problem"
)

// askMessage is a call of ask_model with an id.
func askMessage(id string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"ask_model","arguments":{"prompt":"hi","model":"kimi/kimi-k2.6"}}}`
}

const initializeMessage = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`

// post sends a message of the protocol.
func (s *server) post(body string, headers ...string) answer {
	s.t.Helper()
	return s.do("POST", "/mcp", strings.NewReader(body), append([]string{"Content-Type", "application/json", "Accept", "application/json, text/event-stream"}, headers...)...)
}

// slowModel is a model that answers when its caller leaves.
type slowModel struct{ asked, left chan struct{} }

func (c *chatSetup) beSlow(begin bool) slowModel {
	m := slowModel{make(chan struct{}, 10), make(chan struct{}, 10)}
	c.kimiChat.answers(func(_ int, w http.ResponseWriter, r *http.Request) {
		if begin {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n")
			w.(http.Flusher).Flush()
		}
		m.asked <- struct{}{}
		<-r.Context().Done()
		m.left <- struct{}{}
	})
	return m
}

// An agent that closes its connection ends the provider's call, before and within the answer.
func TestAgentLeaves(t *testing.T) {
	t.Parallel()
	c := startChat(t, embedded(t, t.TempDir()), nil)
	for _, begin := range []bool{false, true} {
		model := c.beSlow(begin)
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		r, err := http.NewRequestWithContext(ctx, "POST", c.url+"/mcp", strings.NewReader(askMessage("1")))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Authorization": {"Bearer " + c.token}}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if resp, err := http.DefaultClient.Do(r); err == nil {
				resp.Body.Close()
			}
		}()
		<-model.asked
		leave()
		<-model.left
		<-ended
	}
	wantNoPanic(t, c.server)
}

// A notification cancels a call of the same client, and of no other. The call has no result then.
func TestAgentCancels(t *testing.T) {
	t.Parallel()
	c := startChat(t, embedded(t, t.TempDir()), nil)
	model := c.beSlow(true)
	label := func() string {
		a := c.post(initializeMessage)
		if label := a.Header.Get("Mcp-Session-Id"); a.StatusCode == 200 && label != "" {
			return label
		}
		t.Fatalf("initialize: %d %v", a.StatusCode, a.Header)
		return ""
	}
	mine, others := label(), label()
	if mine == others {
		t.Error("two clients have the same label")
	}
	for _, tt := range []struct{ id, params, cancel string }{
		{"7", `{"requestId":7,"reason":"x"}`, mine},
		{`"a\u0062"`, `{"requestId":"ab"}`, mine},
		{"8", `{"requestId":8}`, ""},
	} {
		asked := []string{}
		if tt.cancel != "" {
			asked = []string{"Mcp-Session-Id", mine}
		}
		ended := make(chan answer, 1)
		go func() { ended <- c.post(askMessage(tt.id), asked...) }()
		<-model.asked
		cancel := func(params string, headers ...string) {
			t.Helper()
			if a := c.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":`+params+`}`, headers...); a.StatusCode != 202 {
				t.Errorf("cancelled %s: %d %s", params, a.StatusCode, a.body)
			}
		}
		token := "Bearer " + c.newToken(access.ScopeChat, access.ScopeRead)
		cancel(tt.params, "Mcp-Session-Id", others)
		cancel(tt.params, "Mcp-Session-Id", tt.cancel, "Authorization", token)
		cancel(`{"requestId":99}`, asked...)
		cancel(`{"requestId":null}`, asked...)
		cancel(`{}`, asked...)
		select {
		case <-model.left:
			t.Fatalf("%s: a call that goes on was cancelled", tt.id)
		case <-time.After(50 * time.Millisecond): // the notifications have been answered
		}
		cancel(tt.params, asked...)
		<-model.left
		if a := <-ended; strings.Contains(string(a.body), `"id"`) {
			t.Errorf("%s: a cancelled call was answered with %d %s", tt.id, a.StatusCode, a.body)
		}
	}
	wantNoPanic(t, c.server)
}

// Of two calls with one id, whose clients have no label, neither is cancelled.
func TestAgentsWithoutLabel(t *testing.T) {
	t.Parallel()
	c := startChat(t, embedded(t, t.TempDir()), nil)
	asked, release := make(chan struct{}), make(chan struct{})
	c.kimiChat.answers(func(_ int, w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-release:
			streamHello(w)
		case <-r.Context().Done():
		}
	})
	castest.Cleanup(t, func() { close(release) })
	ended := make(chan answer, 2)
	for range 2 {
		go func() { ended <- c.post(askMessage("1")) }()
		<-asked
	}
	c.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	for range 2 {
		release <- struct{}{}
		if a := <-ended; !strings.Contains(string(a.body), "Hello") {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
}

// A method that the protocol lacks is answered with an error of JSON-RPC, and a notification
// of that name with nothing.
func TestAgentsUnknownMethods(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), nil)
	unknown := `{"jsonrpc":"2.0","id":5,"method":"acme/search"}`
	if a := s.post(unknown); a.StatusCode != 200 || !strings.Contains(string(a.body), `"code":-32601`) || !strings.Contains(string(a.body), `"id":5`) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := s.post(unknown, "MCP-Protocol-Version", "2026-07-28"); a.StatusCode != 404 || !strings.Contains(string(a.body), `"code":-32601`) {
		t.Errorf("of the version without initialize: %d %s", a.StatusCode, a.body)
	}
	for _, version := range []string{"2025-06-18", "2026-07-28"} {
		if a := s.post(`{"jsonrpc":"2.0","method":"notifications/acme"}`, "MCP-Protocol-Version", version); a.StatusCode != 202 || len(a.body) > 0 {
			t.Errorf("%s: a notification: %d %s", version, a.StatusCode, a.body)
		}
	}
	s.post(`{"jsonrpc":"2.0","id":null,"method":"ping"}`).wantProblem(t, 400, problem.InvalidRequest)
	s.post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`, "Content-Encoding", "gzip").wantProblem(t, 415, problem.UnsupportedMedia)
	if a := s.post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`, "Content-Encoding", "identity"); a.StatusCode != 200 {
		t.Errorf("identity: %d %s", a.StatusCode, a.body)
	}
}

// A missing resource has the code of the client's version of the protocol.
func TestAgentsMissingResource(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), nil)
	for _, uri := range []string{"casgate://file/file-0f2b7c1e93a44d4e8a550123456789ab", "casgate://other/x"} {
		read := `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"` + uri + `"`
		if a := s.post(read+`}}`, "MCP-Protocol-Version", "2025-06-18"); !strings.Contains(string(a.body), `"code":-32002`) {
			t.Errorf("%s: %d %s", uri, a.StatusCode, a.body)
		}
		meta := `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"x","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`
		if a := s.post(read+meta, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "resources/read", "Mcp-Name", uri); !strings.Contains(string(a.body), `"code":-32602`) || !strings.Contains(string(a.body), "not found") {
			t.Errorf("%s, new: %d %s", uri, a.StatusCode, a.body)
		}
	}
	if a := s.post(`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"casgate://file/x"}}`); !strings.Contains(string(a.body), `"code":-32602`) {
		t.Errorf("no file id: %d %s", a.StatusCode, a.body)
	}
}
