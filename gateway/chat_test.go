package gateway_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/gateway/api"
	"casgate/providers"
)

// A body without files arrives as it was sent, and no credential crosses in either
// direction.
func TestChatPassesThrough(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, nil)
		body := ` {"messages":[{"role":"user","content":"sha256:0 \ud83d"},{"content":[{"type":"image_url","image_url":{"url":"ms://abc"}},{"type":"text","text":""}]}],"n":12345678901234567890,"x":0.10,"index":0,"model":"shared2"}`
		body = strings.Replace(body, "shared2", "kimi-k2.6", 1)
		c.kimiChat.answers(func(_ int, w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h.Set("Content-Type", "application/json; charset=utf-8")
			h.Set("Set-Cookie", "a=b")
			h.Set("Alt-Svc", "h3")
			h.Set("Strict-Transport-Security", "max-age=1")
			h.Set("X-Request-Id", "theirs")
			h.Set("X-Echo", "the key is "+c.kimiChat.key)
			h.Set("X-Casgate-Error", "true")
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprintf(w, `{"error":{"message":"wrong key %s"}}`, c.kimiChat.key)
		})
		a := c.ask(body, "Cookie", "secret=1", "X-Forwarded-For", "1.2.3.4", "Accept-Encoding", "br", "Accept", "text/plain",
			"User-Agent", "sdk/1", "OpenAI-Organization", "org", "X-Stainless-Lang", "go", "Idempotency-Key", "k", "Traceparent", "00-0", "X-Other", "x", "Forwarded", "for=x")
		sent := c.kimiChat.lastChat(t, 1)
		if sent.body != body {
			t.Errorf("arrived as %s", sent.body)
		}
		for name, want := range map[string]string{
			"Authorization": "Bearer " + c.kimiChat.key, "Accept": "text/plain", "User-Agent": "sdk/1", "Openai-Organization": "org", "X-Stainless-Lang": "go",
			"Idempotency-Key": "k", "Traceparent": "00-0", "Content-Type": "application/json", "Content-Length": fmt.Sprint(len(body)),
			"Cookie": "", "X-Forwarded-For": "", "Accept-Encoding": "", "X-Other": "", "Forwarded": "", "X-Api-Key": "", "Transfer-Encoding": "",
		} {
			if got := sent.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		hidden := "(hidden)" + strings.Repeat("*", len(c.kimiChat.key)-len("(hidden)"))
		if a.StatusCode != http.StatusTeapot || string(a.body) != `{"error":{"message":"wrong key `+hidden+`"}}` {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		for name, want := range map[string]string{
			"Set-Cookie": "", "Alt-Svc": "", "Strict-Transport-Security": "", "X-Casgate-Error": "", "X-Echo": "the key is " + hidden,
			"X-Casgate-Provider": "kimi", "X-Casgate-Upstream-Request-Id": "theirs", "Cache-Control": "no-store", "X-Accel-Buffering": "no",
			"Content-Type": "application/json; charset=utf-8", "X-Casgate-Healed": "",
		} {
			if got := strings.Join(a.Header.Values(name), ","); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if id := a.Header.Values("X-Request-Id"); len(id) != 1 || id[0] == "theirs" {
			t.Errorf("X-Request-Id %q", id)
		}
		if strings.Contains(c.logs.String(), c.kimiChat.key) || strings.Contains(c.logs.String(), c.token) {
			t.Error("the log has a key")
		}
	})
}

func TestChatNamesFiles(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		counting := &countingIndex{testIndex: p.index, calls: map[string]int{}}
		p.index = counting
		c := startChat(t, p, nil)
		var fetched atomic.Int32
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched.Add(1) }))
		defer other.Close()
		image, d := c.newImage("1")
		document := c.newFile("a.md", "some text")
		body := chatOf("kimi/kimi-k2.6",
			filePartOf(image), filePartOf(document.ID), filePartOf(d.String()),
			`{"cache_control":{},"type":"image_url","image_url":{"detail":"low","url":"`+d.String()+`"}}`,
			imagePart(c.url+"/v1/blobs/"+d.String()+"?signature=x"), imagePart("/v1/blobs/"+d.String()),
			imagePart(other.URL+"/a.png"), imagePart("ms://"+image), `{"type":"text","text":"`+d.String()+`"}`,
		)
		a := c.askOK(body)
		id := c.ensureOf(t, d, "image")
		want := chatOf("kimi-k2.6",
			imagePart("ms://"+id), `{"type":"text","text":"SOME TEXT"}`, imagePart("ms://"+id),
			`{"cache_control":{},"type":"image_url","image_url":{"url":"ms://`+id+`","detail":"low"}}`,
			imagePart("ms://"+id), imagePart("ms://"+id),
			imagePart(other.URL+"/a.png"), imagePart("ms://"+image), `{"type":"text","text":"`+d.String()+`"}`,
		)
		if sent := c.kimiChat.lastChat(t, 1); sent.body != want {
			t.Errorf("sent %s\nwant %s", sent.body, want)
		}
		if a.Header.Get("X-Casgate-Provider") != "kimi" || fetched.Load() != 0 {
			t.Errorf("provider %q; a URL was fetched %d times", a.Header.Get("X-Casgate-Provider"), fetched.Load())
		}
		uploads := c.kimi.count(providers.OpUpload)
		if uploads != 2 {
			t.Errorf("%d uploads", uploads)
		}
		eventually(t, "a request without a call of the index", func() bool { // caches take writes late
			counting.taken()
			c.askOK(body)
			return len(counting.taken()) == 0
		})
		if n := c.kimi.count(providers.OpUpload); n != uploads {
			t.Errorf("%d uploads", n)
		}
	})
}

// ensureOf returns the id of the copy of a purpose.
func (s *server) ensureOf(t *testing.T, d cas.Digest, purpose string) string {
	t.Helper()
	a := s.do("GET", s.copyPath(d, "kimi")+"?purpose="+purpose, nil)
	if a.StatusCode != 200 {
		t.Fatalf("the copy: %d %s", a.StatusCode, a.body)
	}
	return decode[api.Copy](t, a).ProviderFileID
}

func TestChatRefuses(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, func(o *gatewayOptions) { o.Chat.MaxBody = 200_000 })
		image, d := c.newImage("1")
		video := c.newFile("a.mp4", "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom")
		large := c.newFile("large.md", strings.Repeat("x", 20_000))
		gone := c.newFile("gone.md", "gone")
		if a := c.do("DELETE", "/v1/files/"+gone.ID, nil); a.StatusCode != 200 {
			t.Fatalf("DELETE: %d", a.StatusCode)
		}
		at := "messages[0].content[0].file.file_id"
		for name, test := range map[string]struct {
			body   string
			status int
			code   string
			param  string
		}{
			"not JSON":             {"{", 400, "invalid_request", ""},
			"a name twice":         {`{"model":"kimi/a","model":"glm/b"}`, 400, "invalid_request", "model"},
			"no model":             {"{}", 400, "invalid_request", "model"},
			"an unknown model":     {`{"model":"nothing"}`, 404, "model_not_found", "model"},
			"a model of several":   {`{"model":"shared"}`, 404, "model_not_found", "model"},
			"an unknown provider":  {`{"model":"moonshotai/kimi-k2"}`, 404, "model_not_found", "model"},
			"a provider's key":     {`{"model":"qwen/qwen-long"}`, 404, "model_not_found", "model"},
			"an unknown file":      {chatOf("kimi/x", filePartOf("file-000000000000000000000000")), 404, "file_not_found", at},
			"a provider's id":      {chatOf("kimi/x", filePartOf("cq123")), 404, "file_not_found", at},
			"one in a short part":  {chatOf("kimi/x", `{"type":"file","file_id":"file-foreign"}`), 404, "file_not_found", "messages[0].content[0].file_id"},
			"a deleted file":       {chatOf("kimi/x", filePartOf(gone.ID)), 404, "file_not_found", at},
			"an unknown blob":      {chatOf("kimi/x", imagePart("sha256:"+strings.Repeat("0", 63)+"1")), 404, "blob_not_found", "messages[0].content[0].image_url.url"},
			"a bad digest":         {chatOf("kimi/x", filePartOf("sha256:zz")), 400, "invalid_digest", at},
			"a bad hash URL":       {chatOf("kimi/x", imagePart(c.url+"/v1/blobs/x")), 400, "invalid_digest", "messages[0].content[0].image_url.url"},
			"no such kind of file": {chatOf("kimi/x", filePartOf(video.ID)), 422, "no_reference", at},
			"a file too large":     {chatOf("kimi/x", filePartOf(large.ID)), 422, "provider_rejected", at},
			"a URL out of reach":   {chatOf("glm/x", filePartOf(large.ID)), 409, "reference_unreachable", at},
			"bad base64":           {chatOf("glm/x", imagePart("data:image/png;base64,!!!")), 400, "invalid_request", "messages[0].content[0].image_url.url"},
			"too many files":       {chatOf("kimi/x", strings.Repeat(filePartOf(d.String())+",", 1000)+filePartOf(d.String())), 400, "invalid_request", "messages[0].content[1000]"},
			"too large":            {`{"x":"` + strings.Repeat("x", 200_000) + `"}`, 413, "request_too_large", ""},
		} {
			t.Run(name, func(t *testing.T) { c.ask(test.body).wantChatError(t, test.status, test.code, test.param) })
		}
		reading := c.newToken(access.ScopeChat)
		c.ask(chatOf("kimi/x", filePartOf(image)), "Authorization", "Bearer "+reading).wantChatError(t, 403, "forbidden", at)
		c.ask(chatOf("kimi/x", filePartOf(d.String())), "Authorization", "Bearer "+reading).wantChatError(t, 403, "forbidden", at)
		c.ask("{}", "Authorization", "Bearer "+c.newToken(access.ScopeRead, access.ScopeWrite, access.ScopeSync, access.ScopeDelete)).wantChatError(t, 403, "forbidden", "")
		c.ask("{}", "Content-Encoding", "gzip").wantChatError(t, 415, "unsupported_media_type", "")
		chunked := c.do("POST", "/v1/chat/completions", io.MultiReader(strings.NewReader("{}")))
		chunked.wantChatError(t, 411, "length_required", "")
		if n := len(c.kimiChat.chats()) + len(c.glmChat.chats()); n != 0 {
			t.Errorf("%d chats have arrived", n)
		}
		c.askOK(chatOf("kimi/x", `{"type":"text","text":"hi"}`), "Authorization", "Bearer "+reading)
		user := "Bearer " + c.newToken(access.ScopeChat, access.ScopeRead)
		c.ask(chatOf("kimi/x", filePartOf("cq123")), "X-Casgate-Raw-Ids", "true", "Authorization", user).wantChatError(t, 404, "file_not_found", at)
		c.ask(chatOf("kimi/x", filePartOf("cq123")), "X-Casgate-Raw-Ids", "false").wantChatError(t, 404, "file_not_found", at)
		raw := c.askOK(chatOf("kimi/x", filePartOf("cq123")), "X-Casgate-Raw-Ids", "true")
		if sent := c.kimiChat.lastChat(t, 2); sent.body != chatOf("x", filePartOf("cq123")) || raw.StatusCode != 200 {
			t.Errorf("sent %s", sent.body)
		}
	})
}

func TestChatPlaces(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := &chatSetup{kimi: newRemote("kimi"), kimiChat: newModelServer(t), glmChat: newModelServer(t), placement: providers.PlaceMessage}
		c.withProviders(p)
		c.server = c.another(t, p, nil)
		f := c.newFile("a.md", "some text")
		message := func(content string) string { return `{"role":"user","content":[` + content + `]}` }
		c.askOK(`{"messages":[{"role":"system","content":"s"},` + message(filePartOf(f.ID)+`,{"type":"text","text":"q"}`) + `,` + message(filePartOf(f.ID)) + `],"model":"kimi/q"}`)
		id := c.ensureOf(t, f.Digest(), "file-extract")
		want := `{"messages":[{"role":"system","content":"s"},{"role":"system","content":"fileid://` + id + `"},` + message(`{"type":"text","text":"a.md"},{"type":"text","text":"q"}`) + `,` + message(`{"type":"text","text":"a.md"}`) + `],"model":"q"}`
		if sent := c.kimiChat.lastChat(t, 1); sent.body != want {
			t.Errorf("sent %s\nwant %s", sent.body, want)
		}
		image, _ := c.newImage("1")
		c.askOK(chatOf("glm/v", filePartOf(image)))
		if sent := c.glmChat.lastChat(t, 1); sent.body != chatOf("v", `{"image_base64":"\ufffdPNG\r\n\u001a\n1","type":"image_base64"}`) {
			t.Errorf("sent %s", sent.body)
		}
	})
}

// The same conversation is the same bytes at the provider, from any gateway.
func TestChatIsTheSameFromEachGateway(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, nil)
		second := c.another(t, p, nil)
		image, _ := c.newImage("1")
		document := c.newFile("a.md", "some text")
		inline := imagePart("data:image/png;base64," + base64.StdEncoding.EncodeToString(append([]byte(pngStart), random(70_000)...)))
		body := chatOf("kimi/kimi-k2.6", filePartOf(image), filePartOf(document.ID), inline)
		c.askOK(body)
		second.askOK(body)
		chats := c.kimiChat.chats()
		if chats[0].body != chats[1].body || strings.Contains(chats[0].body, "data:") {
			t.Errorf("first %.500s\nthen  %.500s", chats[0].body, chats[1].body)
		}
		if n := c.kimi.count(providers.OpUpload); n != 3 {
			t.Errorf("%d uploads", n)
		}
	})
}

// A URL in a request is the same for hours, from any gateway.
func TestChatURLsStay(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := &chatSetup{kimi: newRemote("kimi"), kimiChat: newModelServer(t), glmChat: newModelServer(t), glmHost: "127.0.0.1"}
		c.withProviders(p)
		base := func(o *gatewayOptions) { o.PublicURL = "http://127.0.0.1:1" }
		c.server = c.another(t, p, base)
		gateways := []*server{c.server, c.another(t, p, base)}
		f := c.newFile("a.md", "some text")
		body := chatOf("glm/x", filePartOf(f.ID))
		var first string
		for i := range 6 {
			gateways[i%2].askOK(body)
			sent := c.glmChat.lastChat(t, i+1).body
			if !strings.Contains(sent, "http://127.0.0.1:1/v1/blobs/"+f.Digest().String()+"?") {
				t.Fatalf("sent %s", sent)
			}
			switch {
			case first == "":
				first = sent
			case sent != first && expiryIn(t, sent) == expiryIn(t, first): // the end of a step may come between
				t.Errorf("first %s\nthen  %s", first, sent)
			}
		}
	})
}

// expiryIn returns the expiry in the signed URL of a body.
func expiryIn(t *testing.T, body string) string {
	t.Helper()
	_, after, ok := strings.Cut(body, "expires=")
	if !ok {
		t.Fatalf("no signed URL in %s", body)
	}
	return after[:10] // seconds since 1970
}

// A client that leaves while its files are uploaded sends nothing to the model.
func TestChatClientLeavesDuringUpload(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, nil)
		image, _ := c.newImage("1")
		release := c.kimi.holdUploads(t)
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		r, err := http.NewRequestWithContext(ctx, "POST", c.url+"/v1/chat/completions", strings.NewReader(chatOf("kimi/x", filePartOf(image))))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+c.token)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if resp, err := http.DefaultClient.Do(r); err == nil {
				resp.Body.Close()
				t.Error("there was an answer")
			}
		}()
		eventually(t, "the upload to begin", func() bool { return c.kimi.count(providers.OpUpload) > 0 })
		leave()
		<-ended
		eventually(t, "the record", func() bool {
			records, err := p.index.Records(t.Context(), journal.Query{Limit: 10, Kind: journal.KindChat})
			if err != nil {
				t.Fatal(err)
			}
			return len(records) == 1 && records[0].Outcome == journal.OutcomeBroken
		})
		release()
		if n := len(c.kimiChat.chats()); n != 0 {
			t.Errorf("%d chats have arrived", n)
		}
	})
}

func TestChatUploadsOnce(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, nil)
		gateways := []*server{c.server, c.another(t, p, nil), c.another(t, p, nil)}
		image, _ := c.newImage("1")
		body := chatOf("kimi/kimi-k2.6", filePartOf(image))
		release := c.kimi.holdUploads(t)
		var callers sync.WaitGroup
		var failed atomic.Int32
		for i := range 100 {
			callers.Go(func() {
				if a, err := gateways[i%3].try("POST", "/v1/chat/completions", strings.NewReader(body), "Prefer", "wait=300"); err != nil || a.StatusCode != 200 {
					failed.Add(1)
				}
			})
		}
		eventually(t, "the upload to begin", func() bool { return c.kimi.count(providers.OpUpload) > 0 })
		release()
		callers.Wait()
		if n := c.kimi.count(providers.OpUpload); n != 1 || failed.Load() != 0 {
			t.Errorf("%d uploads, %d callers failed", n, failed.Load())
		}
		for _, chat := range c.kimiChat.chats() {
			if chat.body != c.kimiChat.chats()[0].body {
				t.Fatalf("sent %s and %s", chat.body, c.kimiChat.chats()[0].body)
			}
		}
	})
}

// A copy that takes long is an error that SDKs repeat by themselves, and nothing is sent.
func TestChatDoesNotWaitForever(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, nil)
		image, _ := c.newImage("1")
		release := c.kimi.holdUploads(t)
		a := c.ask(chatOf("kimi/x", filePartOf(image)), "Prefer", "wait=1")
		a.wantChatError(t, 409, "copy_in_progress", "messages[0].content[0].file.file_id")
		if a.Header.Get("X-Should-Retry") != "true" || a.Header.Get("Retry-After") == "" || len(c.kimiChat.chats()) != 0 {
			t.Errorf("X-Should-Retry %q, Retry-After %q", a.Header.Get("X-Should-Retry"), a.Header.Get("Retry-After"))
		}
		release()
		c.askOK(chatOf("kimi/x", filePartOf(image)), "Prefer", "wait=300")
		if n := c.kimi.count(providers.OpUpload); n != 1 {
			t.Errorf("%d uploads", n)
		}
	})
}

// Each event of a stream arrives before the next one is sent.
func TestChatStreams(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, nil)
		received := make(chan struct{})
		c.kimiChat.answers(func(_ int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 3 {
				fmt.Fprintf(w, "data: {\"n\":%d}\n\n", i)
				w.(http.Flusher).Flush()
				select {
				case <-received:
				case <-r.Context().Done():
					return
				}
			}
			io.WriteString(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":4},\"completion_tokens\":1}}\n\ndata: [DONE]\n\n")
		})
		resp := c.stream(t, `{"model":"kimi/x","stream":true}`)
		defer resp.Body.Close()
		for i := range 3 {
			want := fmt.Sprintf("data: {\"n\":%d}\n\n", i)
			got := make([]byte, len(want))
			if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
				t.Fatalf("%q, %v", got, err)
			}
			received <- struct{}{}
		}
		if rest, err := io.ReadAll(resp.Body); err != nil || !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
			t.Errorf("%q, %v", rest, err)
		}
	})
}

// stream sends a chat, and returns its answer unread.
func (s *server) stream(t *testing.T, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// A client that leaves cancels the provider's work, before and within the answer.
func TestChatClientLeaves(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, nil)
		arrived, cancelled := make(chan struct{}), make(chan struct{})
		var begin atomic.Bool
		begin.Store(true)
		c.kimiChat.answers(func(_ int, w http.ResponseWriter, r *http.Request) {
			if begin.Load() {
				io.WriteString(w, "data: 1\n\n")
				w.(http.Flusher).Flush()
			}
			arrived <- struct{}{}
			<-r.Context().Done()
			cancelled <- struct{}{}
		})
		resp := c.stream(t, `{"model":"kimi/x","stream":true}`)
		<-arrived
		if _, err := io.ReadFull(resp.Body, make([]byte, 9)); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		<-cancelled
		eventually(t, "the log line", func() bool { return strings.Contains(c.logs.String(), `"aborted":true`) })
		if logs := c.logs.String(); strings.Contains(logs, "the provider's answer broke off") {
			t.Errorf("the provider is blamed: %s", logs)
		}

		begin.Store(false)
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		r, err := http.NewRequestWithContext(ctx, "POST", c.url+"/v1/chat/completions", strings.NewReader(`{"model":"kimi/x"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+c.token)
		ended := make(chan error, 1)
		go func() {
			resp, err := http.DefaultClient.Do(r)
			if err == nil {
				resp.Body.Close()
			}
			ended <- err
		}()
		<-arrived
		leave()
		<-cancelled
		if err := <-ended; err == nil {
			t.Error("there was an answer")
		}
	})
}

// A file that the provider has lost is uploaded again, and the request is sent once more.
func TestChatHeals(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, nil)
		image, d := c.newImage("1")
		body := chatOf("kimi/kimi-k2.6", filePartOf(image))
		c.askOK(body)
		stale := c.ensureOf(t, d, "image")
		c.kimi.forget(stale)
		refuse := func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"error":{"message":"what is this?"}}`)
		}
		c.kimiChat.answers(func(_ int, w http.ResponseWriter, r *http.Request) {
			sent := c.kimiChat.chats()
			if strings.Contains(sent[len(sent)-1].body, stale+`"`) {
				refuse(w)
				return
			}
			io.WriteString(w, shortAnswer)
		})
		a := c.askOK(body)
		fresh := c.ensureOf(t, d, "image")
		if a.Header.Get("X-Casgate-Healed") != "1" || fresh == stale || c.kimi.count(providers.OpUpload) != 2 {
			t.Errorf("X-Casgate-Healed %q, %s after %s, %d uploads", a.Header.Get("X-Casgate-Healed"), fresh, stale, c.kimi.count(providers.OpUpload))
		}
		if sent := c.kimiChat.lastChat(t, 3); sent.body != chatOf("kimi-k2.6", imagePart("ms://"+fresh)) {
			t.Errorf("sent %s", sent.body)
		}
		if a := c.askOK(body); a.Header.Get("X-Casgate-Healed") != "" {
			t.Error("healed twice")
		}
	})
}

// A new upload that takes long is an error that SDKs repeat.
func TestChatHealsLater(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, nil)
		image, d := c.newImage("1")
		body := chatOf("kimi/x", filePartOf(image))
		c.askOK(body)
		stale := c.ensureOf(t, d, "image")
		c.kimi.forget(stale)
		c.kimiChat.answers(func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
		release := c.kimi.holdUploads(t)
		c.ask(body, "Prefer", "wait=1").wantChatError(t, 409, "copy_in_progress", "")
		release()
		c.kimiChat.answers(nil)
		c.askOK(body, "Prefer", "wait=300")
		if sent := c.kimiChat.lastChat(t, 3); strings.Contains(sent.body, stale+`"`) {
			t.Errorf("sent %s", sent.body)
		}
	})
}

// A refusal for another reason passes, and costs one look at most.
func TestChatHealsNothing(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, nil)
		image, _ := c.newImage("1")
		const refusal = `{"error":{"type":"resource_not_found_error","message":"Not found the model x or Permission denied"}}`
		status := http.StatusNotFound
		c.kimiChat.answers(func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			io.WriteString(w, refusal)
		})
		for range 3 {
			a := c.ask(chatOf("kimi/x", filePartOf(image)))
			if a.StatusCode != 404 || string(a.body) != refusal || a.Header.Get("X-Casgate-Healed") != "" || a.Header.Get("X-Casgate-Error") != "" {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
		}
		if n := c.kimi.count(providers.OpRetrieve); n > 1 {
			t.Errorf("%d look-ups", n)
		}
		if n := len(c.kimiChat.chats()); n != 3 {
			t.Errorf("%d chats", n)
		}
		// Other statuses say nothing of files.
		other, _ := c.newImage("2")
		for _, status = range []int{401, 403, 422, 429, 500, 503} {
			if a := c.ask(chatOf("kimi/x", filePartOf(other))); a.StatusCode != status || string(a.body) != refusal {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
		}
		if n := c.kimi.count(providers.OpRetrieve); n > 1 {
			t.Errorf("%d look-ups", n)
		}
	})
}

// Nothing is sent again after the answer has begun, or when there is none.
func TestChatRepeatsNothing(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, nil)
		image, _ := c.newImage("1")
		c.kimiChat.answers(func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 {
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "data: 1\n\n")
				w.(http.Flusher).Flush()
			}
			panic(http.ErrAbortHandler) // the connection breaks
		})
		resp := c.stream(t, chatOf("kimi/x", filePartOf(image)))
		if text, err := io.ReadAll(resp.Body); err == nil || resp.StatusCode != 200 {
			t.Errorf("%d %q without an error", resp.StatusCode, text)
		}
		resp.Body.Close()
		a := c.ask(chatOf("kimi/x", filePartOf(image)), "Idempotency-Key", "k")
		a.wantChatError(t, 503, "provider_unavailable", "")
		if a.Header.Get("X-Should-Retry") != "true" || len(c.kimiChat.chats()) != 2 {
			t.Errorf("X-Should-Retry %q, %d chats", a.Header.Get("X-Should-Retry"), len(c.kimiChat.chats()))
		}
	})
}

func TestChatTimeouts(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, func(o *gatewayOptions) { o.Chat.AnswerTimeout = 50 * time.Millisecond })
		c.kimiChat.answers(func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		c.ask(`{"model":"kimi/x"}`).wantChatError(t, 504, "provider_timeout", "")
	})
}

// As many bodies as fit are under way at once; a further one is refused before it is read.
// One token leaves a quarter to others.
func TestChatMemory(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		const size = 512 << 10 // net/http reads a shorter body to its end
		c := startChat(t, p, func(o *gatewayOptions) { o.Chat.MaxBody, o.Chat.Memory = size, 8*size })
		arrived, release := make(chan struct{}, 9), make(chan struct{})
		c.kimiChat.answers(func(_ int, w http.ResponseWriter, _ *http.Request) {
			arrived <- struct{}{}
			<-release
			io.WriteString(w, shortAnswer)
		})
		body := `{"model":"kimi/x","x":"`
		body += strings.Repeat("x", size-len(body)-2) + `"}`
		var callers sync.WaitGroup
		var ok atomic.Int32
		other := "Bearer " + c.newToken(access.ScopeChat)
		for i := range 8 {
			token := "Bearer " + c.token
			if i >= 6 {
				token = other
			}
			callers.Go(func() {
				if a, err := c.try("POST", "/v1/chat/completions", strings.NewReader(body), "Authorization", token); err == nil && a.StatusCode == 200 {
					ok.Add(1)
				}
			})
		}
		for range 8 {
			<-arrived
		}
		unread, written := io.Pipe() // has no bytes until the end
		r, err := http.NewRequestWithContext(t.Context(), "POST", c.url+"/v1/chat/completions", unread)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = size
		r.Header.Set("Authorization", "Bearer "+c.token)
		a, err := c.send(r)
		if err != nil {
			t.Fatal(err)
		}
		a.wantChatError(t, 503, "overloaded", "")
		written.Close()
		close(release)
		callers.Wait()
		if ok.Load() != 8 {
			t.Errorf("%d of 8 were answered", ok.Load())
		}
		c.askOK(body)
	})
}

// The texts of documents count: a small request can name many, or one many times.
func TestChatMemoryOfTexts(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		const size = 700_000 // of a text; two are more than is sent
		c := newChatSetup(t)
		for i := range c.kimi.about.Purposes {
			c.kimi.about.Purposes[i].MaxSize = 0
		}
		c.withProviders(p)
		c.server = c.another(t, p, func(o *gatewayOptions) { o.Chat.MaxBody, o.Chat.Memory = 10_000, 16*size })
		document := func(content string) string {
			return filePartOf(c.newFile("a.md", strings.Repeat(content, size)).ID)
		}
		one, other := document("1"), document("2")
		refused := func(c *server, parts ...string) {
			t.Helper()
			a := c.ask(chatOf("kimi/x", parts...))
			if a.StatusCode != 413 || !strings.Contains(string(a.body), "request_too_large") {
				t.Errorf("%d %.300s", a.StatusCode, a.body)
			}
		}
		refused(c.server, one, other)
		refused(c.server, one, one)
		if n := len(c.kimiChat.chats()); n != 0 {
			t.Errorf("%d chats were sent", n)
		}
		c.askOK(chatOf("kimi/x", one))
		c.askOK(chatOf("kimi/x", other))
		// No waiting helps a request that needs more than the memory.
		small := c.another(t, p, func(o *gatewayOptions) { o.Chat.MaxBody, o.Chat.Memory = 10_000, size })
		refused(small, one)
	})
}

// An answer that streams needs no memory for its request.
func TestChatStreamsFreeTheirMemory(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, func(o *gatewayOptions) { o.Chat.MaxBody, o.Chat.Memory = 1000, 1000 })
		release := make(chan struct{})
		c.kimiChat.answers(func(n int, w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			if n == 1 {
				<-release
			}
			io.WriteString(w, shortAnswer)
		})
		body := `{"model":"kimi/x","x":"` + strings.Repeat("x", 900) + `"}`
		resp := c.stream(t, body)
		c.askOK(body)
		close(release)
		if text, err := io.ReadAll(resp.Body); err != nil || string(text) != shortAnswer {
			t.Errorf("%q, %v", text, err)
		}
		resp.Body.Close()
	})
}

// Bytes within a request are stored once, however often a conversation repeats them.
func TestChatTakesInBytes(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, nil)
		content := append([]byte(pngStart), random(70_000)...)
		d := cas.DigestOf(content)
		part := imagePart("data:image/png;base64," + base64.StdEncoding.EncodeToString(content))
		body := chatOf("kimi/x", part, strings.Replace(part, `"url"`, `"detail":"low","url"`, 1))
		c.ask(body, "Authorization", "Bearer "+c.newToken(access.ScopeChat, access.ScopeRead)).wantChatError(t, 403, "forbidden", "messages[0].content[0].image_url.url")
		for range 3 {
			c.askOK(body)
		}
		id := c.ensureOf(t, d, "image")
		if sent := c.kimiChat.lastChat(t, 3); sent.body != chatOf("x", imagePart("ms://"+id), `{"type":"image_url","image_url":{"url":"ms://`+id+`","detail":"low"}}`) {
			t.Errorf("sent %.500s", sent.body)
		}
		files := decode[api.FileList](t, c.do("GET", "/v1/files?context=chat", nil))
		if len(files.Data) != 1 {
			t.Fatalf("%d files", len(files.Data))
		}
		f := files.Data[0]
		if life := time.Until(time.Unix(f.ExpiresAt, 0)); f.Digest() != d || f.OnExpiry != "everywhere" || f.Purpose != "user_data" || f.Filename != "inline.png" || life < 719*time.Hour || life > 750*time.Hour {
			t.Errorf("%+v", f)
		}

		// Without their file, the bytes would stay for ever.
		if a := c.do("DELETE", "/v1/files/"+f.ID, nil); a.StatusCode != 200 {
			t.Fatalf("DELETE: %d %s", a.StatusCode, a.body)
		}
		c.askOK(body)
		if files := decode[api.FileList](t, c.do("GET", "/v1/files?context=chat", nil)); len(files.Data) != 1 || files.Data[0].ID == f.ID {
			t.Errorf("%+v", files.Data)
		}

		// A document, as the SDKs send it.
		document := fmt.Sprintf(`{"type":"file","file":{"filename":"a\/b.md","file_data":%q}}`, base64.StdEncoding.EncodeToString([]byte("some text")))
		c.askOK(chatOf("kimi/x", document))
		if sent := c.kimiChat.lastChat(t, 5); sent.body != chatOf("x", `{"type":"text","text":"SOME TEXT"}`) {
			t.Errorf("sent %s", sent.body)
		}

		// What is small, and what the request says, stays where it is.
		small := imagePart("data:image/png;base64,iVBORw0KGgo=")
		for _, test := range []struct{ part, inline string }{{small, ""}, {part, "pass"}} {
			blobs := c.blobCount()
			c.askOK(chatOf("kimi/x", test.part), "X-Casgate-Inline", test.inline)
			if chats := c.kimiChat.chats(); chats[len(chats)-1].body != chatOf("x", test.part) || c.blobCount() != blobs {
				t.Errorf("sent %.500s", chats[len(chats)-1].body)
			}
		}
		// So does what the provider takes in no other way.
		video := append([]byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"), random(70_000)...)
		part = `{"type":"video_url","video_url":{"url":"data:video/mp4;base64,` + base64.StdEncoding.EncodeToString(video) + `"}}`
		c.askOK(chatOf("kimi/x", part, part))
		if sent := c.kimiChat.lastChat(t, 8); sent.body != chatOf("x", part, part) {
			t.Errorf("sent %.500s", sent.body)
		}
		// Nothing is stored for a request that the provider can't get.
		blobs, before := c.blobCount(), len(decode[api.FileList](t, c.do("GET", "/v1/files", nil)).Data)
		fresh := imagePart("data:image/png;base64," + base64.StdEncoding.EncodeToString(append([]byte(pngStart), random(70_000)...)))
		for name, content := range map[string][]byte{"a.bin": []byte("\x00\x01\x02 of no known type"), "b.md": random(200_000), "c.md": nil} {
			refused := fmt.Sprintf(`{"type":"file","file":{"filename":%q,"file_data":"data:application/octet-stream;base64,%s"}}`, name, base64.StdEncoding.EncodeToString(content))
			if a := c.ask(chatOf("kimi/x", fresh, refused)); a.StatusCode != 422 {
				t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
			}
		}
		if files := decode[api.FileList](t, c.do("GET", "/v1/files", nil)).Data; c.blobCount() != blobs || len(files) != before {
			t.Errorf("%d blobs and %d files more", c.blobCount()-blobs, len(files)-before)
		}
		c.ask(chatOf("kimi/x", part), "X-Casgate-Inline", "keep").wantChatError(t, 400, "invalid_request", "")
		// But not at a provider that takes no such parts.
		c.askOK(chatOf("glm/x", small), "X-Casgate-Inline", "pass")
		if sent := c.glmChat.lastChat(t, 1); strings.Contains(sent.body, "data:") {
			t.Errorf("sent %s", sent.body)
		}
	})
}

func TestModels(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, nil)
		ids := func(path string) string {
			t.Helper()
			a := c.do("GET", path, nil, "Authorization", "Bearer "+c.newToken(access.ScopeChat))
			if a.StatusCode != 200 {
				t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
			}
			list := decode[api.ModelList](t, a)
			var ids []string
			for _, m := range list.Data {
				if m.Object != "model" || m.OwnedBy == "" || m.Created != 1700000000 {
					t.Errorf("%+v", m)
				}
				ids = append(ids, m.ID)
			}
			return strings.Join(ids, " ")
		}
		if got := ids("/v1/models"); got != "gpt-4o kimi/kimi-k2.6 kimi/shared glm/glm-5v glm/shared glm/zai/glm-6" {
			t.Error(got)
		}
		if got := ids("/kimi/v1/models"); got != "kimi-k2.6 shared" {
			t.Error(got)
		}
		for path, want := range map[string]string{
			"/v1/models/gpt-4o": "gpt-4o", "/v1/models/kimi%2Fkimi-k2.6": "kimi/kimi-k2.6", "/v1/models/kimi-k2.6": "kimi/kimi-k2.6",
			"/v1/models/glm%2Fzai%2Fglm-6": "glm/zai/glm-6", "/v1/models/zai%2Fglm-6": "glm/zai/glm-6", "/glm/api/paas/v4/models/zai%2Fglm-6": "zai/glm-6",
		} {
			a := c.do("GET", path, nil)
			if a.StatusCode != 200 || decode[api.Model](t, a).ID != want {
				t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
			}
		}
		for _, path := range []string{"/v1/models/nothing", "/v1/models/shared", "/v1/models/kimi%2Fnothing", "/kimi/v1/models/nothing"} {
			c.do("GET", path, nil).wantChatError(t, 404, "model_not_found", "model")
		}
		for model, at := range map[string]*modelServer{"gpt-4o": c.kimiChat, "kimi-k2.6": c.kimiChat, "kimi/new": c.kimiChat, "zai/glm-6": c.glmChat, "glm/zai/glm-6": c.glmChat} {
			before := len(at.chats())
			c.askOK(`{"model":"` + model + `"}`)
			at.lastChat(t, before+1)
		}
		// An old list is better than none.
		c.kimiChat.Close()
		if got := ids("/kimi/v1/models"); got != "kimi-k2.6 shared" {
			t.Error(got)
		}
	})
}

// A provider whose list can't be had costs only its own models.
func TestModelsOfAProviderThatIsDown(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, nil)
		c.kimiChat.Close()
		a := c.do("GET", "/v1/models", nil)
		if list := decode[api.ModelList](t, a); a.StatusCode != 200 || len(list.Data) != 4 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		c.do("GET", "/kimi/v1/models", nil).wantChatError(t, 503, "provider_unavailable", "")
		c.ask(`{"model":"kimi/x"}`).wantChatError(t, 503, "provider_unavailable", "")
		c.do("GET", "/v1/models/kimi%2Fx", nil).wantChatError(t, 503, "provider_unavailable", "")
		c.askOK(`{"model":"glm/glm-5v"}`)
		a = c.ask(`{"model":"glm-5v"}`) // it may be one of kimi's, too
		a.wantChatError(t, 503, "provider_unavailable", "model")
		if !strings.Contains(string(a.body), "the models of kimi are not known") {
			t.Errorf("%s", a.body)
		}
	})
}

// Below a provider's own path, programs that were written for it find its shapes.
func TestDoors(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, nil)
		upload := func(path, name, content, purpose string) api.File {
			t.Helper()
			body, mediaType := formOf(t, field("purpose", purpose), filePart(name, content))
			a := c.do("POST", path, body, "Content-Type", mediaType)
			if a.StatusCode != 200 {
				t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
			}
			return decode[api.File](t, a)
		}
		document := upload("/kimi/v1/files", "a.md", "some text", "file-extract")
		image := upload("/kimi/v1/files", "p.png", pngStart, "image")
		a := c.do("GET", "/kimi/v1/files/"+document.ID+"/content", nil)
		var extracted map[string]string
		if a.StatusCode != 200 || json.Unmarshal(a.body, &extracted) != nil || extracted["content"] != "SOME TEXT" || extracted["filename"] != "a.md" || extracted["type"] != "file" || !strings.HasPrefix(extracted["file_type"], "text/") {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		if a := c.do("GET", "/kimi/v1/files/"+image.ID+"/content", nil); a.StatusCode != 200 || string(a.body) != pngStart || a.Header.Get("Link") != "" {
			t.Errorf("%d %q", a.StatusCode, a.body)
		}
		a = c.do("GET", "/v1/files/"+document.ID+"/content", nil)
		if want := "<" + c.url + "/v1/files/" + document.ID + `/text>; rel="alternate"; type="text/plain"`; string(a.body) != "some text" || a.Header.Get("Link") != want {
			t.Errorf("%q, Link %q", a.body, a.Header.Get("Link"))
		}
		if a := c.do("GET", "/glm/api/paas/v4/files/"+document.ID+"/content", nil); string(a.body) != "some text" {
			t.Errorf("%d %q", a.StatusCode, a.body)
		}

		kimi := func(model, part string) answer {
			return c.do("POST", "/kimi/v1/chat/completions", strings.NewReader(chatOf(model, part)))
		}
		kimi("moonshot-v1", imagePart("ms://"+image.ID))
		id := c.ensureOf(t, image.Digest(), "image")
		if sent := c.kimiChat.lastChat(t, 1); sent.body != chatOf("moonshot-v1", imagePart("ms://"+id)) {
			t.Errorf("sent %s", sent.body)
		}
		kimi("kimi/moonshot-v1", imagePart("ms://"+id)) // a name of Kimi's own, for all we know
		if sent := c.kimiChat.lastChat(t, 2); sent.body != chatOf("kimi/moonshot-v1", imagePart("ms://"+id)) {
			t.Errorf("sent %s", sent.body)
		}
		kimi("x", imagePart("ms://file-000000000000000000000000")).wantChatError(t, 404, "file_not_found", "messages[0].content[0].image_url.url")
		if a := c.do("POST", "/glm/api/paas/v4/chat/completions", strings.NewReader(`{"model":"glm-5v"}`)); a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		for _, path := range []string{"/kimi/v1/nothing", "/kimi", "/glm/api/paas/v4/nothing", "/v1/nothing", "/v1/chat/nothing", "/v1/responses"} {
			if a := c.do("POST", path, strings.NewReader("{}")); a.StatusCode != 404 && a.StatusCode != 405 {
				t.Errorf("%s: %d", path, a.StatusCode)
			} else {
				a.wantChatError(t, a.StatusCode, map[int]string{404: "not_found", 405: "method_not_allowed"}[a.StatusCode], "")
			}
		}
		if a := c.do("DELETE", "/kimi/v1/files/"+image.ID, nil); a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		c.do("GET", "/kimi/v1/files/"+image.ID, nil).wantFileError(t, 404, "file_not_found", "id")
	})
}

func TestChatOff(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		c := startChat(t, p, func(o *gatewayOptions) { o.Chat.Off = true })
		for _, path := range []string{"/v1/chat/completions", "/kimi/v1/chat/completions", "/kimi/v1/files"} {
			c.do("POST", path, strings.NewReader("{}")).wantChatError(t, 404, "not_found", "")
		}
	})
}

// One record for each chat, and the metrics. Neither has a body.
func TestChatIsRecorded(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		registry := prometheus.NewRegistry()
		c := startChat(t, p, func(o *gatewayOptions) { o.Registry = registry })
		image, d := c.newImage("1")
		a := c.askOK(chatOf("kimi/kimi-k2.6", filePartOf(image), filePartOf(image)))
		refused := c.ask(`{"model":"kimi/x"`)
		var chats []journal.Entry
		eventually(t, "the records", func() bool {
			var err error
			if chats, err = p.index.Records(t.Context(), journal.Query{Limit: 10, Kind: journal.KindChat}); err != nil {
				t.Fatal(err)
			}
			return len(chats) == 2
		})
		for _, r := range chats {
			switch r.ID {
			case a.Header.Get("X-Request-Id"):
				if r.Outcome != journal.OutcomeOK || r.Provider != "kimi" || r.Digest != d || r.FileID != image || r.Bytes != int64(len(shortAnswer)) || !strings.HasPrefix(r.Actor, journal.ActorToken) {
					t.Errorf("%+v", r)
				}
			case refused.Header.Get("X-Request-Id"):
				if r.Outcome != journal.OutcomeFailed || r.ErrorCode != "invalid_request" {
					t.Errorf("%+v", r)
				}
			default:
				t.Errorf("%+v", r)
			}
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		counted := map[string]int{}
		for _, family := range families {
			if name := family.GetName(); strings.HasPrefix(name, "casgate_chat_") {
				counted[name] = len(family.GetMetric())
			}
		}
		want := map[string]int{
			"casgate_chat_requests_total": 2, "casgate_chat_first_byte_seconds": 1, "casgate_chat_tokens_total": 3, "casgate_chat_parts_total": 1,
		}
		if !maps.Equal(counted, want) {
			t.Errorf("counted %v", counted)
		}
		synced, err := p.index.Records(t.Context(), journal.Query{Limit: 10, Kind: journal.KindSync})
		if err != nil || len(synced) != 1 || synced[0].Digest != d || synced[0].Actor != chats[0].Actor {
			t.Errorf("%+v, %v", synced, err)
		}
	})
}
