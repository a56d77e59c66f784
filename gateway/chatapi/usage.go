package chatapi

import (
	"bytes"
	"errors"
	"strconv"
	"sync"

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

// decoders are those that are not in use. A new one allocates much.
var decoders = sync.Pool{New: func() any { return new(jsontext.Decoder) }}

// readUsage reads the object at the beginning of a text.
func readUsage(text []byte) (u usage, ok bool) {
	d := decoders.Get().(*jsontext.Decoder)
	defer decoders.Put(d)
	d.Reset(bytes.NewBuffer(text), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	defer d.Reset(bytes.NewBuffer(nil)) // so that it doesn't keep the text
	ok = readMembers(d, func(name []byte) (err error) {
		switch string(name) {
		case `"prompt_tokens"`:
			u.prompt, err = readCount(d)
		case `"completion_tokens"`:
			u.completion, err = readCount(d)
		case `"cached_tokens"`: // Moonshot
			var cached int64
			cached, err = readCount(d)
			u.cached = max(u.cached, cached)
		case `"prompt_tokens_details"`:
			return readDetails(d, &u)
		default:
			return d.SkipValue()
		}
		return err
	}) == nil
	return u, ok
}

// readDetails reads the number of cached tokens where OpenAI has it.
func readDetails(d *jsontext.Decoder, u *usage) error {
	if d.PeekKind() != '{' {
		return d.SkipValue()
	}
	return readMembers(d, func(name []byte) error {
		if string(name) != `"cached_tokens"` {
			return d.SkipValue()
		}
		cached, err := readCount(d)
		u.cached = max(u.cached, cached)
		return err
	})
}

// readMembers reads an object. It calls read for each member, with its name in quotes.
func readMembers(d *jsontext.Decoder, read func(name []byte) error) error {
	if d.PeekKind() != '{' {
		return errors.New("it is not an object")
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadValue()
		if err != nil {
			return err
		}
		if err := read(name); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// readCount reads a number of tokens, which is 0 if it is null.
func readCount(d *jsontext.Decoder) (int64, error) {
	raw, err := d.ReadValue()
	if err != nil || raw.Kind() == 'n' {
		return 0, err
	}
	return strconv.ParseInt(string(raw), 10, 64)
}
