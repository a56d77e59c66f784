package kimi

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func read(body io.Reader) (string, error) {
	a, err := readAnswer(body)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(a.text)
	return string(text), err
}

func TestText(t *testing.T) {
	t.Parallel()
	const rest = `,"file_type":"application/pdf","filename":"a.pdf","title":"","type":"file"}`
	for _, test := range []struct{ body, want string }{
		{`{"content":"text"` + rest, "text"},
		{`{"content":""` + rest, ""},
		{" {\n \"content\" :\t\"text\"}\n ", "text"},
		{`{"title":"content","type":null,"file_type":1,"filename":"\"content\":\"x\"","content":"text"}`, "text"},
		{`{"content":"a\"b\\c\/d\b\f\n\r\te"}`, "a\"b\\c/d\b\f\n\r\te"},
		{`{"content":"\u5e74\u5E74 \ud83d\ude00 年 😀"}`, "年年 😀 年 😀"},
		{`{"content":"\ud83d \ude00 \ud83d\ud83d\ude00 \ud83d\u0041"}`, "\uFFFD \uFFFD \uFFFD😀 \uFFFDA"},
		{"{\"content\":\"a\xffb\"}", "a\uFFFDb"},
		{"{\"content\":\"raw\nline\"}", "raw\nline"},
		// Plain text, whatever it looks like.
		{"", ""},
		{"plain text", "plain text"},
		{"cut \xf0\x9f", "cut \uFFFD\uFFFD"},
		{`"a quotation"`, `"a quotation"`},
		{`{ not JSON }`, `{ not JSON }`},
		{`{"name":"x","content":"y"}`, `{"name":"x","content":"y"}`},
		{`{"content":["a"]}`, `{"content":["a"]}`},
		{`{"content":null}`, ""},
		{`{"content":null,"title":"t"}`, ""},
		{`{"content":null,"name":"x"}`, `{"content":null,"name":"x"}`},
		{"\uFEFF" + `{"content":"text"}`, "text"},
		{"\uFEFFplain", "plain"},
		{`{"title":{"content":"x"},"content":"y"}`, `{"title":{"content":"x"},"content":"y"}`},
		{`{"title":"x"}`, `{"title":"x"}`},
		{`[{"content":"y"}]`, `[{"content":"y"}]`},
		{`{"con`, `{"con`},
	} {
		for name, body := range map[string]io.Reader{
			"whole": strings.NewReader(test.body), "bytewise": iotest.OneByteReader(strings.NewReader(test.body)),
			"end with data": iotest.DataErrReader(strings.NewReader(test.body)),
		} {
			if got, err := read(body); err != nil || got != test.want {
				t.Errorf("%s, %s: got %q, %v; want %q", test.body, name, got, err, test.want)
			}
		}
	}
}

// A text that was cut off must not be taken for the whole: it would be kept.
func TestTextCutOff(t *testing.T) {
	t.Parallel()
	whole := `{"content":"a\"\ud83d\ude00\u0041 and so on","type":"file"}`
	for n := len(`{"content":"`); n < len(whole); n++ {
		if text, err := read(strings.NewReader(whole[:n])); !errors.Is(err, errCutOff) && !errors.Is(err, errEscape) {
			t.Errorf("%s gave %q, %v", whole[:n], text, err)
		}
	}
	for _, bad := range []string{`{"content":"\x"}`, `{"content":"\u12g4"}`, `{"content":"\ud83d\u12g4"}`, `{"content":"a" "b"}`, `{"content":"a"}}`, `{"content":"a"}` + strings.Repeat(" ", textTail)} {
		if text, err := read(strings.NewReader(bad)); err == nil {
			t.Errorf("%.60s gave %q", bad, text)
		}
	}
	broken := errors.New("the connection broke")
	for _, begin := range []string{"", "plain", `{"content":"te`, `{"content":"\`, `{"content":"\u00`, `{"content":"\ud83d`, `{"content":"\ud83d\u00`, `{"content":"text",`, `{"content":"` + strings.Repeat("x", 2*textHead)} {
		if _, err := read(io.MultiReader(strings.NewReader(begin), iotest.ErrReader(broken))); !errors.Is(err, broken) {
			t.Errorf("after %.60q: %v", begin, err)
		}
	}
}

// TestTextStreams: the beginning of a long text can be read before its end is
// there.
func TestTextStreams(t *testing.T) {
	t.Parallel()
	pieces, piece := io.Pipe()
	go func() {
		io.WriteString(piece, `{"content":"`+strings.Repeat("x", textHead))
	}()
	a, err := readAnswer(pieces)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := a.text.Read(make([]byte, 10)); n != 10 || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if err := pieces.Close(); err != nil {
		t.Fatal(err)
	}
}

// FuzzText puts any text into an answer, as encoding/json writes it, and cuts it
// anywhere.
func FuzzText(f *testing.F) {
	f.Add("text", "title", 1000, true)
	f.Add("\u2028\x00\xff😀\"\\</script>", "\"content\":\"", 20, false)
	f.Fuzz(func(t *testing.T, text, title string, cut int, first bool) {
		var value any = struct {
			Content string `json:"content"`
			Title   string `json:"title"`
		}{text, title}
		if !first && len(title) < textHead/8 {
			value = struct {
				Title   string `json:"title"`
				Content string `json:"content"`
			}{title, text}
		}
		body, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var meant struct{ Content string }
		if err := json.Unmarshal(body, &meant); err != nil {
			t.Fatal(err)
		}
		got, err := read(iotest.HalfReader(strings.NewReader(string(body))))
		if err != nil || got != meant.Content {
			t.Errorf("%s: got %q, %v", body, got, err)
		}
		if cut >= 0 && cut < len(body) {
			got, err := read(strings.NewReader(string(body[:cut])))
			// Either it was recognised, and then found cut off, or it is text as it stands.
			if err == nil && got != string([]rune(string(body[:cut]))) { // a character may be cut, too
				t.Errorf("%s, cut, gave %q", body[:cut], got)
			}
		}
	})
}

// FuzzAnyText reads any answer.
func FuzzAnyText(f *testing.F) {
	for _, body := range []string{`{"content":"\ud83d\ude00"}`, `{"content":"`, "plain", "{}", "\xff", `{"title":1,"content":"\u`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := read(strings.NewReader(string(body)))
		if !utf8.ValidString(got) {
			t.Errorf("%q gave %q, which is no UTF-8", body, got)
		}
		var meant struct {
			Content *string `json:"content"`
		}
		if err != nil && json.Unmarshal(body, &meant) == nil && meant.Content != nil {
			t.Errorf("%q is valid, and fails: %v", body, err)
		}
	})
}
