package simulator

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Compression says when an answer is compressed.
type Compression string

// The choices.
const (
	NoGzip     Compression = ""
	GzipAsked  Compression = "asked" // if the request has Accept-Encoding: gzip
	GzipAlways Compression = "always"
)

// ChatBehaviour changes the answers of chats. The zero value is the usual service. Faults
// (Control.Fail with OpChat) refuse or spoil whole answers, and Control.Forget makes an id
// stale.
type ChatBehaviour struct {
	// Pause is the time before each event of a stream but the first.
	Pause time.Duration
	// Silence holds a stream after its first event, and any other answer before its first
	// byte, until the channel is closed or the client has left.
	Silence <-chan struct{}
	// Cut cuts the connection after the first event, or in the middle of another answer.
	Cut bool
	// Gzip compresses answers.
	Gzip Compression
	// Cookie is the value of Set-Cookie; empty means none.
	Cookie string
	// Disconnected gets a value each time a client left before the end of its answer, without
	// blocking. Optional.
	Disconnected chan<- struct{}
}

// maxEcho is how much of a question an answer repeats, in runes.
const maxEcho = 200

// text returns the words of an answer.
func (s seenChat) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "This answer is SIMULATED: no model has read the question. %s got %d messages and %d files.\n", s.Model, len(s.Messages), len(s.files))
	for i, f := range s.files {
		fmt.Fprintf(&b, "%d. %s: ", i+1, f.How)
		if f.Name != "" {
			fmt.Fprintf(&b, "%q, ", f.Name)
		}
		fmt.Fprintf(&b, "%d bytes, %s\n", f.Size, f.Digest)
	}
	if question := []rune(s.question); len(question) > 0 {
		fmt.Fprintf(&b, "The question was: %s\n", string(question[:min(len(question), maxEcho)]))
	}
	return b.String()
}

// tool returns the name of the tool that the answer calls; empty means none. A model
// calls the first tool if the request forces it to, or a user asks it to "call the tool".
func (s seenChat) tool() string {
	if len(s.Tools) == 0 || s.Messages[len(s.Messages)-1].Role != "user" {
		return ""
	}
	var choice string
	var named struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	}
	switch {
	case json.Unmarshal(s.ToolChoice, &named) == nil && named.Function.Name != "":
		return named.Function.Name
	case json.Unmarshal(s.ToolChoice, &choice) == nil && choice == "required", choice != "none" && strings.Contains(s.question, "call the tool"):
		return s.Tools[0].Function.Name
	}
	return ""
}

// answer makes the answer of a chat.
func (s seenChat) answer(o Chat, behaviour ChatBehaviour, now time.Time) Answer {
	completion := completion{chat: o, seen: s, id: "chatcmpl-simulated-" + rand.Text(), created: now.Unix(), text: s.text(), tool: s.tool()}
	a := Answer{Status: http.StatusOK}
	if s.Stream {
		events := completion.events()
		a.send = func(w http.ResponseWriter, r *http.Request) { behaviour.stream(w, r, events) }
		return a
	}
	a = JSON(http.StatusOK, completion.whole())
	a.send = func(w http.ResponseWriter, r *http.Request) { behaviour.whole(w, r, a.Body) }
	return a
}

// completion is an answer before it is written.
type completion struct {
	chat    Chat
	seen    seenChat
	id      string
	created int64
	text    string
	tool    string
}

func (c completion) usage() map[string]any {
	used := len(c.text) / bytesPerToken
	usage := map[string]any{"prompt_tokens": c.seen.prompt, "completion_tokens": used, "total_tokens": c.seen.prompt + used}
	if c.chat.Usage == UsageInChoice { // Kimi's
		usage["cached_tokens"] = c.seen.cached
	} else {
		usage["prompt_tokens_details"] = map[string]any{"cached_tokens": c.seen.cached}
	}
	return usage
}

func (c completion) toolCalls() []any {
	return []any{map[string]any{"index": 0, "id": c.tool + ":0", "type": "function", "function": map[string]any{"name": c.tool, "arguments": "{}"}}}
}

func (c completion) object(kind string, choices ...any) map[string]any {
	if choices == nil {
		choices = []any{}
	}
	return map[string]any{"id": c.id, "object": kind, "created": c.created, "model": c.seen.Model, "choices": choices}
}

// whole returns an answer that comes at once.
func (c completion) whole() map[string]any {
	message := map[string]any{"role": "assistant", "content": c.text}
	reason := "stop"
	if c.tool != "" {
		message["content"], message["tool_calls"], reason = nil, c.toolCalls(), "tool_calls"
	}
	object := c.object("chat.completion", map[string]any{"index": 0, "message": message, "finish_reason": reason})
	object["usage"] = c.usage()
	return object
}

// events returns the events of a stream.
func (c completion) events() [][]byte {
	var events [][]byte
	add := func(choices ...any) {
		events = append(events, event(c.object("chat.completion.chunk", choices...)))
	}
	choice := func(delta map[string]any, reason any) map[string]any {
		return map[string]any{"index": 0, "delta": delta, "finish_reason": reason}
	}
	add(choice(map[string]any{"role": "assistant", "content": ""}, nil))
	reason := "stop"
	if c.tool != "" {
		add(choice(map[string]any{"tool_calls": c.toolCalls()}, nil))
		reason = "tool_calls"
	} else {
		for _, word := range strings.SplitAfter(c.text, " ") {
			add(choice(map[string]any{"content": word}, nil))
		}
	}
	last := choice(map[string]any{}, reason)
	object := c.object("chat.completion.chunk", last)
	switch c.chat.Usage {
	case UsageInChoice:
		last["usage"] = c.usage()
	case UsageInLast:
		object["usage"] = c.usage()
	}
	events = append(events, event(object))
	if c.chat.Usage != UsageInLast && c.seen.StreamOptions.IncludeUsage {
		object := c.object("chat.completion.chunk")
		object["usage"] = c.usage()
		events = append(events, event(object))
	}
	return append(events, []byte("data: [DONE]\n\n"))
}

// event returns an event of a stream.
func event(object map[string]any) []byte {
	return fmt.Appendf(nil, "data: %s\n\n", JSON(0, object).Body)
}

// stream writes the events one by one.
func (b ChatBehaviour) stream(w http.ResponseWriter, r *http.Request, events [][]byte) {
	out := b.begin(w, r, "text/event-stream")
	for i, event := range events {
		if i == 1 && b.Cut {
			panic(http.ErrAbortHandler)
		}
		if i == 1 && b.Silence != nil {
			wait(r.Context(), b.Silence)
		}
		if i > 0 && b.Pause > 0 {
			pause(r.Context(), b.Pause)
		}
		if r.Context().Err() != nil || out(event) != nil {
			b.reportDisconnect()
			return
		}
	}
}

// whole writes an answer that comes at once.
func (b ChatBehaviour) whole(w http.ResponseWriter, r *http.Request, body []byte) {
	if b.Silence != nil {
		wait(r.Context(), b.Silence)
	}
	if r.Context().Err() != nil {
		b.reportDisconnect()
		return
	}
	out := b.begin(w, r, "application/json")
	if b.Cut {
		// The error doesn't matter: the connection is cut next.
		_ = out(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	}
	if out(body) != nil {
		b.reportDisconnect()
	}
}

// begin writes the header of an answer, and returns a function that sends a part of its
// body.
func (b ChatBehaviour) begin(w http.ResponseWriter, r *http.Request, contentType string) func([]byte) error {
	w.Header().Set("Content-Type", contentType)
	if b.Cookie != "" {
		w.Header().Set("Set-Cookie", b.Cookie)
	}
	flush := http.NewResponseController(w).Flush
	if b.Gzip == GzipAlways || b.Gzip == GzipAsked && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		return func(part []byte) error {
			// A gzip stream may have several members.
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			if _, err := z.Write(part); err != nil {
				return err
			}
			if err := z.Close(); err != nil {
				return err
			}
			if _, err := w.Write(packed.Bytes()); err != nil {
				return err
			}
			return flush()
		}
	}
	return func(part []byte) error {
		if _, err := w.Write(part); err != nil {
			return err
		}
		return flush()
	}
}

func (b ChatBehaviour) reportDisconnect() {
	select {
	case b.Disconnected <- struct{}{}:
	default:
	}
}

// pause returns after a time, or when the client has left.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
