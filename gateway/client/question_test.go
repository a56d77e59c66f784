package client

import "testing"

func TestBodyOfAQuestion(t *testing.T) {
	t.Parallel()
	for want, q := range map[string]Question{
		`{"model":"kimi/k","messages":[{"role":"user","content":[{"text":"Why?","type":"text"}]}],"stream":true,"stream_options":{"include_usage":true}}`: {
			Model: "kimi/k", Text: "Why?",
		},
		`{"model":"kimi/k","messages":[{"role":"system","content":"Be short."},{"role":"user","content":[{"file":{"file_id":"file-1"},"type":"file"},{"text":"Why?","type":"text"}]}],"max_tokens":5}`: {
			Model: "kimi/k", System: "Be short.", Files: []string{"file-1"}, Text: "Why?", MaxTokens: 5, Whole: true,
		},
	} {
		if body, err := q.Body(); err != nil || string(body) != want {
			t.Errorf("%s, %v; want %s", body, err, want)
		}
	}
}
