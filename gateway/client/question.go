package client

import "encoding/json"

// Question is a chat of one question about files.
type Question struct {
	Model  string // with its provider, such as kimi/kimi-k2.6
	System string // instructions that come before; empty: none
	// Files are ids of files, digests, or hash URLs of the gateway. They come before the text,
	// so that a second question about the same files begins in the same way: providers cache
	// prompts by their beginning.
	Files     []string
	Text      string
	MaxTokens int // of the answer; 0: as many as the model gives
	// Whole asks for the answer at once, and not for a stream of its pieces.
	Whole bool
}

// Body returns the body for Chat.
func (q Question) Body() ([]byte, error) {
	var body struct {
		Model         string         `json:"model"`
		Messages      []chatMessage  `json:"messages"`
		MaxTokens     int            `json:"max_tokens,omitempty"`
		Stream        bool           `json:"stream,omitempty"`
		StreamOptions *streamOptions `json:"stream_options,omitempty"`
	}
	body.Model, body.MaxTokens = q.Model, q.MaxTokens
	if !q.Whole {
		body.Stream, body.StreamOptions = true, &streamOptions{IncludeUsage: true}
	}
	if q.System != "" {
		body.Messages = append(body.Messages, chatMessage{"system", q.System})
	}
	parts := make([]any, 0, len(q.Files)+1)
	for _, id := range q.Files {
		parts = append(parts, map[string]any{"type": "file", "file": map[string]string{"file_id": id}})
	}
	parts = append(parts, map[string]string{"type": "text", "text": q.Text})
	body.Messages = append(body.Messages, chatMessage{"user", parts})
	return json.Marshal(body)
}

type chatMessage struct {
	Role    string `json:"role"`
	Content any    `json:"content"` // a text, or a list of parts
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}
