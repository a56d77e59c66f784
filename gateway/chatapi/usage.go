package chatapi

import (
	"bytes"
	"encoding/json"

	"github.com/go-json-experiment/json/jsontext"
)

// tailSize is how much of the end of an answer is kept to find the usage in it, in bytes.
const tailSize = 64 << 10

// usageTail keeps the end of an answer: a JSON answer has its usage at the end, and a
// stream in its last event.
type usageTail struct{ kept []byte }

func (t *usageTail) add(p []byte) {
	if len(p) >= tailSize {
		t.kept = append(t.kept[:0], p[len(p)-tailSize:]...)
		return
	}
	if len(t.kept)+len(p) > 2*tailSize {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-tailSize:]...)
	}
	t.kept = append(t.kept, p...)
}

func (t *usageTail) bytes() []byte { return t.kept }

// usage is the number of tokens that an answer states.
type usage struct{ prompt, cached, completion int64 }

// usageOf returns the last usage that the end of an answer states.
func usageOf(tail []byte) (usage, bool) {
	name := []byte(`"usage"`)
	for {
		i := bytes.LastIndex(tail, name)
		if i < 0 {
			return usage{}, false
		}
		value := bytes.TrimLeft(tail[i+len(name):], " \t\r\n")
		if len(value) > 0 && value[0] == ':' {
			if u, ok := readUsage(value[1:]); ok {
				return u, true
			}
		}
		tail = tail[:i]
	}
}

// readUsage reads the object at the beginning of a text.
func readUsage(text []byte) (usage, bool) {
	raw, err := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowInvalidUTF8(true)).ReadValue()
	if err != nil || raw.Kind() != '{' {
		return usage{}, false
	}
	var stated struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
		Cached     int64 `json:"cached_tokens"` // Moonshot
		Details    struct {
			Cached int64 `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	}
	if json.Unmarshal(raw, &stated) != nil {
		return usage{}, false
	}
	return usage{stated.Prompt, max(stated.Cached, stated.Details.Cached), stated.Completion}, true
}
