package simulator

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"casgate/cas"
	"casgate/providers"
)

// OpModels is the op of a request for the list of models.
const OpModels providers.Op = "models"

// ModelOwner is the owned_by of all models of simulators.
const ModelOwner = "casgate-simulator"

// maxChatBody is the maximum length of a chat's body, in bytes.
const maxChatBody = 128 << 20

// Chat is what differs between the chats of providers.
type Chat struct {
	// Models are the names of the models.
	Models []string
	// UnknownModel is the answer to a chat with another one.
	UnknownModel func(model string) Answer
	// Invalid is the answer to a chat that makes no sense.
	Invalid func(message string) Answer
	// Part returns the file that a part of a message is, or the answer of a refusal. It is
	// not called for text.
	Part func(ctx context.Context, model string, part ChatPart) (ChatFile, *Answer)
	// Message returns the file that the text of a message names, or the answer of a refusal.
	// Nil means that texts name no files.
	Message func(role, text string) (file ChatFile, found bool, refusal *Answer)
	// Usage is where the numbers of tokens stand in a stream.
	Usage UsagePlace
}

// UsagePlace is where the numbers of tokens stand in a stream.
type UsagePlace string

// The places. A stream has UsageAfter only if stream_options asks for it.
const (
	UsageAfter    UsagePlace = ""          // in an event of its own, without a choice
	UsageInLast   UsagePlace = "in last"   // in the last event with a choice
	UsageInChoice UsagePlace = "in choice" // in that event's choice
)

// ChatPart is a part of a message that is not text.
type ChatPart struct {
	Type string
	// URL is the text of image_url, video_url or file_url.
	URL string
	// FileID, FileData and Filename are those of a file.
	FileID, FileData, Filename string
}

// ChatFile is a file that a model sees.
type ChatFile struct {
	// How says in a few words how the request named it.
	How    string
	Name   string
	Size   int64 // bytes
	Digest cas.Digest
}

// ReceivedChat is the request of a chat.
type ReceivedChat struct {
	Header http.Header
	Body   []byte
}

// chatRequest has the fields of a body that a simulator reads.
type chatRequest struct {
	Model         string          `json:"model"`
	Messages      []chatMessage   `json:"messages"`
	Stream        bool            `json:"stream"`
	ToolChoice    json.RawMessage `json:"tool_choice"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Tools []struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	} `json:"tools"`
}

type chatMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
	// ToolCalls are those of an assistant, and ToolCallID is what a tool answers.
	ToolCalls []struct {
		ID string `json:"id"`
	} `json:"tool_calls"`
	ToolCallID string `json:"tool_call_id"`
}

// seenChat is what a simulated model saw of a chat.
type seenChat struct {
	chatRequest
	files    []ChatFile
	question string // the text of the last message of a user
	prompt   int    // tokens
	cached   int    // tokens of them
}

// HandleModels makes the http.Handler of GET /models.
func (c *Core) HandleModels(o Chat) http.Handler {
	return c.Handle(OpModels, func(*http.Request) Answer {
		data := make([]any, len(o.Models))
		for i, name := range o.Models {
			data[i] = map[string]any{"id": name, "object": "model", "created": 1767225600, "owned_by": ModelOwner}
		}
		return JSON(http.StatusOK, map[string]any{"object": "list", "data": data})
	})
}

// HandleChat makes the http.Handler of POST /chat/completions. The answer says that it is
// simulated, and names the size and the digest of each file.
func (c *Core) HandleChat(o Chat) http.Handler {
	return c.Handle(providers.OpChat, func(r *http.Request) Answer {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxChatBody))
		if err != nil {
			return o.Invalid("reading the body: " + err.Error())
		}
		c.mu.Lock()
		c.lastChat = ReceivedChat{r.Header.Clone(), body}
		behaviour := c.behaviour
		c.mu.Unlock()
		seen, refusal := c.see(r.Context(), o, body)
		if refusal != nil {
			return *refusal
		}
		return seen.answer(o, behaviour, c.Now())
	})
}

// see reads the body of a chat.
func (c *Core) see(ctx context.Context, o Chat, body []byte) (seenChat, *Answer) {
	var seen seenChat
	refuse := func(a Answer) (seenChat, *Answer) { return seenChat{}, &a }
	if err := json.Unmarshal(body, &seen.chatRequest); err != nil {
		return refuse(o.Invalid("the body is not valid JSON: " + err.Error()))
	}
	if !slices.Contains(o.Models, seen.Model) {
		return refuse(o.UnknownModel(seen.Model))
	}
	if len(seen.Messages) == 0 {
		return refuse(o.Invalid("messages is required"))
	}
	if err := checkTurns(seen.Messages); err != nil {
		return refuse(o.Invalid(err.Error()))
	}
	for _, m := range seen.Messages {
		if refusal := seen.read(ctx, o, m); refusal != nil {
			return seenChat{}, refusal
		}
	}
	seen.prompt, seen.cached = c.countPrompt(body)
	return seen, nil
}

// checkTurns checks that the answers of tools follow directly after their calls.
func checkTurns(messages []chatMessage) error {
	pending := map[string]bool{}
	for i, m := range messages {
		if !slices.Contains([]string{"system", "developer", "user", "assistant", "tool"}, m.Role) {
			return fmt.Errorf("messages[%d].role %q is unknown", i, m.Role)
		}
		switch {
		case m.Role == "tool" && !pending[m.ToolCallID]:
			return fmt.Errorf("messages[%d]: tool_call_id %q is not found", i, m.ToolCallID)
		case m.Role == "tool":
			delete(pending, m.ToolCallID)
			continue
		case len(pending) > 0:
			return fmt.Errorf("messages[%d]: an assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'", i)
		}
		for _, call := range m.ToolCalls {
			pending[call.ID] = true
		}
	}
	if len(pending) > 0 {
		return fmt.Errorf("an assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'")
	}
	return nil
}

// read reads a message.
func (s *seenChat) read(ctx context.Context, o Chat, m chatMessage) *Answer {
	if len(m.Content) == 0 || string(m.Content) == "null" {
		return nil
	}
	var text string
	if json.Unmarshal(m.Content, &text) == nil {
		return s.readText(o, m.Role, text)
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(m.Content, &parts); err != nil {
		a := o.Invalid("content is neither a text nor a list of parts")
		return &a
	}
	for _, raw := range parts {
		if refusal := s.readPart(ctx, o, m.Role, raw); refusal != nil {
			return refusal
		}
	}
	return nil
}

// readPart reads a part of a message.
func (s *seenChat) readPart(ctx context.Context, o Chat, role string, raw json.RawMessage) *Answer {
	var part struct {
		Type     string          `json:"type"`
		Text     string          `json:"text"`
		ImageURL json.RawMessage `json:"image_url"`
		VideoURL json.RawMessage `json:"video_url"`
		FileURL  json.RawMessage `json:"file_url"`
		FileID   string          `json:"file_id"`
		File     struct {
			ID   string `json:"file_id"`
			Data string `json:"file_data"`
			Name string `json:"filename"`
		} `json:"file"`
	}
	if err := json.Unmarshal(raw, &part); err != nil {
		a := o.Invalid("a part is malformed: " + err.Error())
		return &a
	}
	if part.Type == "text" {
		return s.readText(o, role, part.Text)
	}
	given := ChatPart{Type: part.Type, FileID: part.File.ID, FileData: part.File.Data, Filename: part.File.Name}
	if part.FileID != "" { // DeepSeek's and Mistral's parts are flat
		given.FileID = part.FileID
	}
	switch part.Type {
	case "image_url":
		given.URL = urlOf(part.ImageURL)
	case "video_url":
		given.URL = urlOf(part.VideoURL)
	case "file_url":
		given.URL = urlOf(part.FileURL)
	}
	file, refusal := o.Part(ctx, s.Model, given)
	if refusal == nil {
		s.files = append(s.files, file)
	}
	return refusal
}

// urlOf returns the URL in {"url":…}, or in a string.
func urlOf(value json.RawMessage) string {
	var object struct {
		URL string `json:"url"`
	}
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	if json.Unmarshal(value, &object) != nil {
		return ""
	}
	return object.URL
}

// readText reads a text: a document's, one that names a file, or the words of the role.
func (s *seenChat) readText(o Chat, role, text string) *Answer {
	if file, ok := fencedFile(text); ok {
		s.files = append(s.files, file)
		return nil
	}
	if o.Message != nil {
		file, found, refusal := o.Message(role, text)
		if refusal != nil {
			return refusal
		}
		if found {
			s.files = append(s.files, file)
			return nil
		}
	}
	if role == "user" {
		s.question = text
	}
	return nil
}

// fencedFile reads the text of a document that stands between two lines with an id, as
// casgate writes it. The file is the text between the lines.
func fencedFile(part string) (ChatFile, bool) {
	head, rest, found := strings.Cut(part, ">\n")
	_, attributes, isFile := strings.Cut(head, "<file ")
	_, id, hasID := strings.Cut(attributes, `id="`)
	id = strings.TrimSuffix(id, `"`)
	text, closed := strings.CutSuffix(rest, "\n</file id=\""+id+"\">")
	if !found || !isFile || !hasID || !closed || id == "" {
		return ChatFile{}, false
	}
	how := "text of the document " + id
	if _, named, ok := strings.Cut(text, "The simulator's text of "); ok {
		digest, _, _ := strings.Cut(named, ".")
		how += " (" + digest + ")"
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(attributes, `name="`), `"`)
	if !strings.HasPrefix(attributes, `name="`) {
		name = ""
	}
	return ChatFile{How: how, Name: name, Size: int64(len(text)), Digest: cas.DigestOf([]byte(text))}, true
}

// FileOf returns a stored file as a model sees it.
func FileOf(f RemoteFile, how string) ChatFile {
	return ChatFile{How: how, Name: f.Name, Size: f.Size, Digest: f.Digest}
}

// Inline returns a file whose bytes stand in the request: as base64, or as a data: URL.
func Inline(text, how string) (ChatFile, error) {
	if rest, ok := strings.CutPrefix(text, "data:"); ok {
		head, data, found := strings.Cut(rest, ",")
		if !found || !strings.HasSuffix(head, ";base64") {
			return ChatFile{}, fmt.Errorf("a data: URL without base64")
		}
		text, how = data, how+", a data: URL"
	}
	content, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return ChatFile{}, fmt.Errorf("the base64 is malformed: %w", err)
	}
	return ChatFile{How: how, Size: int64(len(content)), Digest: cas.DigestOf(content)}, nil
}

const (
	bytesPerToken = 4
	// Prompts are cached in chunks of cacheChunk tokens, for the last cachedPrompts
	// requests, and each to its first maxCachedPrompt bytes.
	cacheChunk      = 256
	cachedPrompts   = 64
	maxCachedPrompt = 256 << 10
)

// countPrompt returns the number of tokens of a body's messages, and how many of them
// began an earlier request, too.
func (c *Core) countPrompt(body []byte) (prompt, cached int) {
	var request struct {
		Messages json.RawMessage `json:"messages"`
	}
	if json.Unmarshal(body, &request) != nil {
		return 0, 0 // the caller has read it before
	}
	head := request.Messages[:min(len(request.Messages), maxCachedPrompt)]
	c.mu.Lock()
	defer c.mu.Unlock()
	longest := 0
	for _, earlier := range c.prompts {
		longest = max(longest, commonPrefix(earlier, head))
	}
	c.prompts = append(c.prompts, bytes.Clone(head))
	if len(c.prompts) > cachedPrompts {
		c.prompts = c.prompts[1:]
	}
	return (len(request.Messages) + bytesPerToken - 1) / bytesPerToken, longest / bytesPerToken / cacheChunk * cacheChunk
}

func commonPrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
