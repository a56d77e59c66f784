package kimi_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"casgate/providers"
	"casgate/providers/kimi"
	"casgate/providers/simulator/kimisim"
)

// extractText uploads a document, and returns the text that the simulator extracts.
func extractText(t *testing.T, o kimisim.Options) (string, error) {
	t.Helper()
	p, _ := open(t, o)
	f, err := p.Upload(t.Context(), upload("a.txt", "file-extract", "a document"))
	if err != nil {
		t.Fatal(err)
	}
	return textOf(t, p, f.ID)
}

func textOf(t *testing.T, p *kimi.Provider, id string) (string, error) {
	t.Helper()
	body, err := p.Text(t.Context(), id)
	if err != nil {
		return "", err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	return string(text), err
}

func TestTextInOtherCharsets(t *testing.T) {
	t.Parallel()
	want := strings.Repeat("年度报告：全年收入增长百分之十二。\"引文\"\n", 3000)
	for _, charset := range []string{"utf-8", "gbk", "gb18030", "utf-16le"} {
		if got, err := extractText(t, kimisim.Options{Text: &want, Charset: charset}); err != nil || got != want {
			t.Errorf("declared as %s: %d bytes, %.40q, %v", charset, len(got), got, err)
		}
	}
	for _, charset := range []string{"utf-8", "gbk", "gb18030"} {
		if got, err := extractText(t, kimisim.Options{Text: &want, Charset: charset, CharsetUnsaid: true}); err != nil || got != want {
			t.Errorf("%s, undeclared: %d bytes, %.40q, %v", charset, len(got), got, err)
		}
	}
	western := "un café très fort"
	_, err := extractText(t, kimisim.Options{Text: &western, Charset: "windows-1252", CharsetUnsaid: true})
	e, ok := errors.AsType[*providers.Error](err)
	if !ok || e.Kind != providers.KindPermanent || !strings.Contains(e.Message, "charset") {
		t.Errorf("windows-1252, undeclared: %v", err)
	}
}

// A document without text is an error with a code of its own, and no empty text.
func TestNoText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", " \n\t", "\u3000\u00a0\ufeff\u200b\f", strings.Repeat(" ", 1<<20)} {
		got, err := extractText(t, kimisim.Options{Text: &text})
		wantNoText(t, err)
		if strings.TrimLeft(got, text) != "" {
			t.Errorf("%.20q came with %.20q", text, got)
		}
	}
	for _, text := range []string{"x", strings.Repeat("\u3000", 1<<16) + "年", "\uFFFD"} {
		if got, err := extractText(t, kimisim.Options{Text: &text}); err != nil || got != text {
			t.Errorf("%.20q: %.20q, %v", text, got, err)
		}
	}
	for _, body := range []string{`{"content":null,"type":"file"}`, `{"content":""}`, "", "\uFEFF", "\n"} {
		p := at(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, body)
		})))
		_, err := textOf(t, p, "file-1")
		wantNoText(t, err)
	}
	// Of most such documents Kimi says so at the upload.
	p, _ := open(t, kimisim.Options{})
	_, err := p.Upload(t.Context(), upload("a.txt", "file-extract", " \n"))
	wantNoText(t, err)
}

// An answer that is a page or JSON of another shape is no text: it would be kept as the
// document's text. A later answer may be right, so the call can be repeated.
func TestAnswerThatIsNoText(t *testing.T) {
	t.Parallel()
	const page, plain, object = "text/html; charset=utf-8", "text/plain; charset=utf-8", "application/json"
	for _, c := range []struct{ file, contentType, body, want string }{
		{"a.pdf", page, "<html>Gateway</html>", ""},
		{"a.pdf", page, "Gateway", ""},
		{"a.pdf", plain, `{"foo":"bar"}`, ""},
		{"a.pdf", object, `{"foo":"bar"}`, ""},
		{"a.pdf", object, `{"content":5}`, ""},
		{"a.pdf", plain, "\uFEFF [{\"content\":\"y\"}]\n", ""},
		{"a.pdf", plain, `{"con`, ""},
		{"a.pdf", object, `{"foo":"` + strings.Repeat("x", 1<<20) + `"}`, ""},
		{"a.html", plain, `{"foo":"bar"}`, ""},
		{"a.json", page, "<html>Gateway</html>", ""},
		{"a.html", page, "<html>text</html>", "<html>text</html>"},
		{"a.json", plain, `{"foo":"bar"}`, `{"foo":"bar"}`},
		{"a.pdf", page, `{"content":"text"}`, "text"},
		{"a.pdf", plain, "<html>text</html>", "<html>text</html>"},
		{"a.pdf", plain, "{\"a\":1}\n{\"a\":2}\n", "{\"a\":1}\n{\"a\":2}\n"},
		{"a.pdf", plain, "[Music] plain", "[Music] plain"},
		{"a.pdf", plain, "{ not JSON }", "{ not JSON }"},
	} {
		p := at(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/content") {
				w.Header().Set("Content-Type", object)
				_, _ = io.WriteString(w, `{"id":"file-1","object":"file","bytes":3,"created_at":1,"filename":"`+c.file+`","purpose":"file-extract","status":"ok"}`)
				return
			}
			w.Header().Set("Content-Type", c.contentType)
			_, _ = io.WriteString(w, c.body)
		})))
		got, err := textOf(t, p, "file-1")
		if c.want != "" {
			if err != nil || got != c.want {
				t.Errorf("%s, %s, %.40s: %.40q, %v; want %q", c.file, c.contentType, c.body, got, err, c.want)
			}
			continue
		}
		e, ok := errors.AsType[*providers.Error](err)
		if !ok || e.Kind != providers.KindTransient || e.Code != providers.CodeBadAnswer || !strings.Contains(e.Message, "no text") {
			t.Errorf("%s, %s, %.40s: %.40q, %v", c.file, c.contentType, c.body, got, err)
		}
	}
}

func wantNoText(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*providers.Error](err)
	if !ok || e.Kind != providers.KindPermanent || e.Code != providers.CodeNoText || e.Hint == "" {
		t.Errorf("the error is %v; want one that says that there is no text", err)
	}
}
