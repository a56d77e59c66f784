package simulator_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/simulator"
	"casgate/providers/simulator/glmsim"
	"casgate/providers/simulator/kimisim"
	"casgate/providers/simulator/openaisim"
)

// chats serves a simulator, and returns a function that sends a chat.
func chats(t *testing.T, sim http.Handler, prefix string) func(ctx context.Context, body string, header ...string) (*http.Response, error) {
	t.Helper()
	server := httptest.NewServer(sim)
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return func(ctx context.Context, body string, header ...string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+prefix+"/chat/completions", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer id.key")
		for _, line := range header {
			name, value, _ := strings.Cut(line, ": ")
			r.Header.Set(name, value)
		}
		return (&http.Client{Transport: transport}).Do(r)
	}
}

// said returns the text of an answer, streamed or not, or the whole body of an error.
func said(t *testing.T, response *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	type choice struct {
		Message, Delta struct{ Content string }
	}
	var answer struct{ Choices []choice }
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		if err := json.Unmarshal(body, &answer); err != nil || len(answer.Choices) == 0 {
			return string(body)
		}
		return answer.Choices[0].Message.Content
	}
	text := ""
	for _, line := range strings.Split(string(body), "\n") {
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		answer.Choices = nil
		if err := json.Unmarshal([]byte(data), &answer); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		for _, c := range answer.Choices {
			text += c.Delta.Content
		}
	}
	if !strings.HasSuffix(string(body), "data: [DONE]\n\n") {
		t.Errorf("the stream ends with %q", body[max(0, len(body)-40):])
	}
	return text
}

const (
	bytesOfFile = "the bytes of a file"
	user        = `{"role":"user","content":[%s,{"type":"text","text":"what is it?"}]}`
)

// named is what an answer says of a file with bytesOfFile.
var named = fmt.Sprintf("%d bytes, %s", len(bytesOfFile), cas.DigestOf([]byte(bytesOfFile)))

// Every documented way to give a file to a model is taken, and every other is refused.
func TestFilesOfChats(t *testing.T) {
	t.Parallel()
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("signature") == "x" {
			_, _ = io.WriteString(w, bytesOfFile)
			return
		}
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer gateway.Close()
	hashURL := gateway.URL + "/v1/blobs/" + cas.DigestOf([]byte(bytesOfFile)).String()
	kimi, glm, openai := kimisim.New(kimisim.Options{}), glmsim.New(glmsim.Options{}), openaisim.New(openaisim.Options{})
	for _, put := range []func(simulator.RemoteFile) simulator.RemoteFile{kimi.Put, openai.Put} {
		put(simulator.RemoteFile{ID: "picture", Name: "a.png", Purpose: "image", Head: []byte(bytesOfFile)})
		put(simulator.RemoteFile{ID: "film", Name: "a.mp4", Purpose: "video", Head: []byte(bytesOfFile)})
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(bytesOfFile))
	part := func(kind, url string) string {
		return fmt.Sprintf(user, fmt.Sprintf(`{"type":%q,%q:{"url":%q}}`, kind, kind, url))
	}
	const fenced = `{"type":"text","text":"<file name=\"a.txt\" id=\"0123456789abcdef\">\nthe bytes of a file\n</file id=\"0123456789abcdef\">"}`
	const brokenFence = `{"type":"text","text":"<file name=\"a.txt\" id=\"0123456789abcdef\">\nthe bytes of a file\n</file id=\"1123456789abcdef\">"}`
	send := map[string]func(context.Context, string, ...string) (*http.Response, error){
		"kimi-k2.6": chats(t, kimi, kimisim.Prefix), "glm-4.6v": chats(t, glm, glmsim.Prefix), "gpt-4o": chats(t, openai, openaisim.Prefix),
	}
	send["glm-5.2"] = send["glm-4.6v"]
	for _, c := range []struct {
		model, message string
		status         int
		says           string
	}{
		{"kimi-k2.6", part("image_url", "ms://picture"), 200, named},
		{"kimi-k2.6", fmt.Sprintf(user, `{"type":"image_url","image_url":"ms://picture"}`), 200, named},
		{"kimi-k2.6", part("video_url", "ms://film"), 200, named},
		{"kimi-k2.6", part("image_url", "data:image/png;base64,"+encoded), 200, named},
		{"kimi-k2.6", fmt.Sprintf(user, fenced), 200, named},
		{"kimi-k2.6", fmt.Sprintf(user, fenced), 200, "the document 0123456789abcdef"},
		{"kimi-k2.6", fmt.Sprintf(user, brokenFence), 200, "and 0 files"},
		{"kimi-k2.6", part("image_url", "ms://film"), 400, "purpose"},
		{"kimi-k2.6", part("image_url", "ms://stale"), 404, "resource_not_found_error"},
		{"kimi-k2.6", part("image_url", hashURL+"?signature=x"), 400, "unsupported image url"},
		{"kimi-k2.6", fmt.Sprintf(user, `{"type":"file","file":{"file_id":"picture"}}`), 400, "not supported"},
		{"glm-4.6v", part("file_url", hashURL+"?signature=x"), 200, named},
		{"glm-4.6v", part("image_url", hashURL+"?signature=x"), 200, named},
		{"glm-4.6v", part("image_url", encoded), 200, named},
		{"glm-4.6v", part("file_url", hashURL), 400, "302"},
		{"glm-4.6v", part("file_url", gateway.URL+"/metrics"), 400, "only hash URLs"},
		{"glm-4.6v", part("file_url", strings.Replace(hashURL, "127.0.0.1", "h.example", 1)), 400, "only hash URLs"},
		{"glm-4.6v", part("image_url", "data:image/png;base64,"+encoded), 400, "图片输入格式"},
		{"glm-4.6v", part("image_url", "ms://picture"), 400, "1210"},
		{"glm-4.6v", part("file_url", encoded), 400, "1210"},
		{"glm-5.2", part("image_url", encoded), 400, "text only"},
		{"gpt-4o", fmt.Sprintf(user, `{"type":"file","file":{"file_id":"picture"}}`), 200, named},
		{"gpt-4o", fmt.Sprintf(user, `{"type":"file","file_id":"picture"}`), 200, named},
		{"gpt-4o", fmt.Sprintf(user, `{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,`+encoded+`"}}`), 200, named},
		{"gpt-4o", part("image_url", "data:image/png;base64,"+encoded), 200, named},
		{"gpt-4o", part("image_url", hashURL+"?signature=x"), 200, named},
		{"gpt-4o", `{"role":"system","content":"fileid://picture"},` + part("image_url", "data:image/png;base64,"), 200, named},
		{"gpt-4o", `{"role":"user","content":"fileid://picture"}`, 200, "and 0 files"},
		{"gpt-4o", fmt.Sprintf(user, `{"type":"file","file":{"file_id":"stale"}}`), 404, "No such File object"},
		{"gpt-4o", fmt.Sprintf(user, `{"type":"input_audio"}`), 400, "input_audio"},
	} {
		for _, stream := range []string{"false", "true"} {
			response, err := send[c.model](t.Context(), fmt.Sprintf(`{"model":%q,"stream":%s,"messages":[%s]}`, c.model, stream, c.message))
			text := said(t, response, err)
			if response.StatusCode != c.status || !strings.Contains(text, c.says) || c.status == 200 && !strings.Contains(text, "SIMULATED") {
				t.Errorf("%s, stream %s, %s:\n%d %s\nwant %d, %s", c.model, stream, c.message, response.StatusCode, text, c.status, c.says)
			}
		}
	}
}

// Turns with tool calls are taken in the right order only, and a model calls a tool if it
// must.
func TestToolsInChats(t *testing.T) {
	t.Parallel()
	send := chats(t, kimisim.New(kimisim.Options{}), kimisim.Prefix)
	const question, call, result = `{"role":"user","content":"call the tool"}`, `{"role":"assistant","content":null,"tool_calls":[{"id":"a:0","type":"function","function":{"name":"a","arguments":"{}"}}]}`, `{"role":"tool","tool_call_id":"a:0","content":"1"}`
	const tools = `,"tools":[{"type":"function","function":{"name":"look"}}]`
	for _, c := range []struct {
		messages, more string
		status         int
		says           string
	}{
		{question + "," + call + "," + result, tools, 200, "SIMULATED"},
		{question + "," + call + "," + result + "," + question, tools, 200, `"name":"look"`},
		{question + "," + call + "," + result + "," + question, tools + `,"tool_choice":"none"`, 200, "SIMULATED"},
		{`{"role":"user","content":"hi"}`, tools + `,"tool_choice":"required"`, 200, `"finish_reason":"tool_calls"`},
		{`{"role":"user","content":"hi"}`, tools + `,"tool_choice":{"type":"function","function":{"name":"other"}}`, 200, `"name":"other"`},
		{question + "," + call, tools, 400, "must be followed"},
		{question + "," + call + "," + question + "," + result, tools, 400, "must be followed"},
		{question + "," + result, tools, 400, "is not found"},
		{`{"role":"robot","content":"hi"}`, "", 400, "robot"},
		{`{"role":"user","content":5}`, "", 400, "list of parts"},
	} {
		for _, stream := range []string{"false", "true"} {
			response, err := send(t.Context(), fmt.Sprintf(`{"model":"kimi-k3.1","stream":%s,"messages":[%s]%s}`, stream, c.messages, c.more))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != c.status || !bytes.Contains(body, []byte(c.says)) {
				t.Errorf("stream %s, %s: %d %s", stream, c.messages, response.StatusCode, body)
			}
		}
	}
}

func TestModels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url string
		sim http.Handler
	}{
		{kimisim.Prefix, kimisim.New(kimisim.Options{})}, {glmsim.Prefix, glmsim.New(glmsim.Options{})}, {glmsim.CodingPrefix, glmsim.New(glmsim.Options{})},
		{openaisim.Prefix, openaisim.New(openaisim.Options{Models: []string{"own"}})},
	} {
		url, sim := c.url, c.sim
		r := httptest.NewRequest(http.MethodGet, url+"/models", nil)
		r.Header.Set("Authorization", "Bearer id.key")
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, r)
		var list struct {
			Object string
			Data   []struct {
				ID      string
				OwnedBy string `json:"owned_by"`
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Code != 200 || len(list.Data) == 0 || list.Data[0].OwnedBy != simulator.ModelOwner {
			t.Errorf("%s: %d %s, %v", url, w.Code, w.Body, err)
		}
		r.Header.Del("Authorization")
		w = httptest.NewRecorder()
		if sim.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
			t.Errorf("%s without a key: %d", url, w.Code)
		}
	}
}

// Each kind of misbehaviour can be switched on, and the last request can be looked at.
func TestMisbehaviourOfChats(t *testing.T) {
	t.Parallel()
	const plain, streamed = `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`, `{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	sim := openaisim.New(openaisim.Options{})
	send := chats(t, sim, openaisim.Prefix)
	if text := said2(send(t.Context(), `{"model":"no-such","messages":[]}`, "X-Test: 1")); !strings.Contains(text, "model_not_found") {
		t.Errorf("an unknown model: %s", text)
	}
	if last := sim.LastChat(); last.Header.Get("X-Test") != "1" || string(last.Body) != `{"model":"no-such","messages":[]}` {
		t.Errorf("the last chat is %+v", last)
	}
	sim.Fail(simulator.Fault{Op: providers.OpChat, Times: 1, Kind: simulator.Refuse, Status: 429, Code: "rate_limit_exceeded", Message: "slow down", RetryAfter: time.Second})
	if response, err := send(t.Context(), plain); err != nil || response.StatusCode != 429 || response.Header.Get("Retry-After") != "1" {
		t.Errorf("a refusal: %v, %v", response, err)
	} else {
		response.Body.Close()
	}
	for _, body := range []string{plain, streamed} {
		sim.Behave(simulator.ChatBehaviour{Cut: true, Cookie: "a=b"})
		response, err := send(t.Context(), body)
		if err != nil {
			t.Fatal(err)
		}
		if response.Header.Get("Set-Cookie") != "a=b" {
			t.Errorf("no cookie: %v", response.Header)
		}
		if part, err := io.ReadAll(response.Body); err == nil || len(part) == 0 {
			t.Errorf("the answer was not cut: %s", part)
		}
		response.Body.Close()
		for accept, want := range map[string]string{"gzip": "gzip", "identity": ""} {
			sim.Behave(simulator.ChatBehaviour{Gzip: simulator.GzipAsked})
			response, err := send(t.Context(), body, "Accept-Encoding: "+accept)
			if err != nil {
				t.Fatal(err)
			}
			if got := response.Header.Get("Content-Encoding"); got != want {
				t.Errorf("asked for %s, got %q", accept, got)
			}
			content := io.Reader(response.Body)
			if want == "gzip" {
				if content, err = gzip.NewReader(response.Body); err != nil {
					t.Fatal(err)
				}
			}
			if text, err := io.ReadAll(content); err != nil || !bytes.Contains(text, []byte("SIMULATED")) {
				t.Errorf("%s, %v", text, err)
			}
			response.Body.Close()
		}
	}
}

// said2 returns the body of an answer, or the error.
func said2(response *http.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return fmt.Sprint(string(body), err)
}

// A stream can be held after its first event; a client that leaves meanwhile is noticed.
func TestSilenceInChats(t *testing.T) {
	t.Parallel()
	const body = `{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	sim := openaisim.New(openaisim.Options{})
	send := chats(t, sim, openaisim.Prefix)
	silence, left := make(chan struct{}), make(chan struct{}, 1)
	sim.Behave(simulator.ChatBehaviour{Silence: silence, Disconnected: left})
	ctx, leave := context.WithCancel(t.Context())
	response, err := send(ctx, body)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil || !strings.HasPrefix(line, "data: {") {
		t.Errorf("the first event is %q, %v", line, err)
	}
	leave()
	<-left
	response.Body.Close()
	response, err = send(t.Context(), body)
	if err != nil {
		t.Fatal(err)
	}
	close(silence)
	if text := said(t, response, nil); !strings.Contains(text, "SIMULATED") {
		t.Errorf("after the silence: %s", text)
	}
}

// The numbers of tokens stand where the provider has them, and a prompt that begins as an
// earlier one is partly cached.
func TestUsageOfChats(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 1000)
	for _, c := range []struct {
		sim           http.Handler
		prefix, model string
		stream, cache string
	}{
		{kimisim.New(kimisim.Options{}), kimisim.Prefix, "kimi-k2.6", `"index":0,"usage":{`, `"cached_tokens":1024`},
		{glmsim.New(glmsim.Options{}), glmsim.Prefix, "glm-5.2", `"usage":{`, `"prompt_tokens_details":{"cached_tokens":1024}`},
		{openaisim.New(openaisim.Options{}), openaisim.Prefix, "gpt-4o", `"choices":[],"created"`, `"prompt_tokens_details":{"cached_tokens":1024}`},
	} {
		send := chats(t, c.sim, c.prefix)
		body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"system","content":%q},{"role":"user","content":"%%s"}]%%s}`, c.model, long)
		if text := said2(send(t.Context(), fmt.Sprintf(body, "one", ""))); !strings.Contains(text, `"cached_tokens":0`) {
			t.Errorf("%s, first: %s", c.model, text)
		}
		if text := said2(send(t.Context(), fmt.Sprintf(body, "two", ""))); !strings.Contains(text, c.cache) {
			t.Errorf("%s, second: %s", c.model, text)
		}
		text := said2(send(t.Context(), fmt.Sprintf(body, "two", `,"stream":true,"stream_options":{"include_usage":true}`)))
		if !strings.Contains(text, c.stream) || !strings.Contains(text, c.cache) {
			t.Errorf("%s, streamed: %s", c.model, text)
		}
	}
}
