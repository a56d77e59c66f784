package chatapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// chunks is a reader that gives one chunk at a time. It calls asked before each.
type chunks struct {
	rest  [][]byte
	asked func()
	end   error
}

func (c *chunks) Read(p []byte) (int, error) {
	c.asked()
	if len(c.rest) == 0 {
		return 0, c.end
	}
	n := copy(p, c.rest[0])
	if c.rest[0] = c.rest[0][n:]; len(c.rest[0]) == 0 {
		c.rest = c.rest[1:]
	}
	return n, nil
}

// redacted is a text without the secrets, found one byte after the other.
func redacted(text []byte, s secrets) []byte {
	out := bytes.Clone(text)
	for i := 0; i < len(text); {
		size := 0
		for _, secret := range s {
			if bytes.HasPrefix(text[i:], secret) {
				size = max(size, len(secret))
			}
		}
		if size == 0 {
			i++
			continue
		}
		copy(out[i:], "(hidden)"+strings.Repeat("*", size-len("(hidden)")))
		i += size
	}
	return out
}

// TestRedactor: in whatever pieces a text comes and is read, it loses the secrets, and
// keeps its length. Only bytes that may begin a secret wait for later ones.
func TestRedactor(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SliceOfN(rapid.SampledFrom([]byte("ab")), minSecret, 12)
		var s secrets
		for range rapid.IntRange(1, 3).Draw(t, "secrets") {
			s = append(s, letters.Draw(t, "secret"))
		}
		c := &chunks{end: rapid.SampledFrom([]error{io.EOF, io.ErrUnexpectedEOF}).Draw(t, "end")}
		var text []byte
		for range rapid.IntRange(0, 12).Draw(t, "chunks") {
			chunk := rapid.OneOf(rapid.SampledFrom(s), letters, rapid.SliceOfN(rapid.SampledFrom([]byte("ab\n")), 1, 30)).Draw(t, "chunk")
			if chunk = chunk[:rapid.IntRange(1, len(chunk)).Draw(t, "length")]; len(chunk) > 0 {
				c.rest, text = append(c.rest, chunk), append(text, chunk...)
			}
		}
		var got []byte
		left := func() (n int) {
			for _, chunk := range c.rest {
				n += len(chunk)
			}
			return n
		}
		c.asked = func() {
			waiting := text[len(got) : len(text)-left()]
			if len(waiting) == 0 {
				return
			}
			for _, secret := range s {
				if len(waiting) < len(secret) && bytes.HasPrefix(secret, waiting) {
					return
				}
			}
			t.Fatalf("%q waits for more", waiting)
		}
		r := s.reader(c)
		for {
			p := make([]byte, rapid.IntRange(1, 40).Draw(t, "read"))
			n, err := r.Read(p)
			got = append(got, p[:n]...)
			if n == 0 && err == nil {
				t.Fatal("nothing was read, and no error came")
			}
			if err != nil {
				if !errors.Is(err, c.end) {
					t.Fatalf("got %v, want %v", err, c.end)
				}
				break
			}
		}
		if want := redacted(text, s); !bytes.Equal(got, want) {
			t.Fatalf("%q of %q without %q; want %q", got, text, s, want)
		}
	})
}

// TestKeysInAnswers: no answer repeats the credential to the client, whatever its status,
// its length and its place in it.
func TestKeysInAnswers(t *testing.T) {
	t.Parallel()
	const key = "sk-0123456789abcdef"
	const shown = "(hidden)***********"
	for name, test := range map[string]struct {
		status    int
		mediaType string
		before    string
	}{
		"an answer":          {200, "application/json", `{"key":"`},
		"a stream":           {200, "text/event-stream", "data: "},
		"a refusal":          {401, "application/json", `{"key":"`},
		"far into a refusal": {400, "text/plain", strings.Repeat("x", 70<<10)},
		"far into an answer": {200, "application/json", strings.Repeat("x", maxHeld-5)},
	} {
		for pieces, reader := range map[string]func(io.Reader) io.Reader{
			"at once":      func(r io.Reader) io.Reader { return r },
			"byte by byte": iotest.OneByteReader,
		} {
			t.Run(name+", "+pieces, func(t *testing.T) {
				t.Parallel()
				text := test.before + key + "\n\n"
				c := newCall(t, func(*http.Request) (*http.Response, error) {
					return &http.Response{
						StatusCode: test.status, Header: http.Header{"Content-Type": {test.mediaType}, "X-Key": {key}},
						ContentLength: int64(len(text)), Body: io.NopCloser(reader(strings.NewReader(text))),
					}, nil
				})
				c.to.chat.Authorize = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key) }
				got := c.proxied(t)
				if want := test.before + shown + "\n\n"; got.Body.String() != want || got.Code != test.status || got.Header().Get("X-Key") != shown {
					t.Errorf("%d, %v, %d bytes, want %d", got.Code, got.Header(), got.Body.Len(), len(want))
				}
			})
		}
	}
}
