package console

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, h *Handler, name string, headers ...string) *http.Response {
	t.Helper()
	r, w := httptest.NewRequest("GET", "/console/"+name, nil), httptest.NewRecorder()
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if !h.Serve(w, r, name) {
		t.Fatalf("there is no %q", name)
	}
	return w.Result()
}

func body(t *testing.T, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConsoleIsServedInBothCodings(t *testing.T) {
	h, err := New()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for name := range h.assets {
		plain := get(t, h, name)
		compressed := get(t, h, name, "Accept-Encoding", "br, gzip;q=0.5")
		want := body(t, plain.Body)
		sent := body(t, compressed.Body)
		if name != "" {
			total += len(sent)
		}
		unzipped, err := gzip.NewReader(bytes.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		if got := body(t, unzipped); !bytes.Equal(got, want) || compressed.Header.Get("Content-Encoding") != "gzip" || plain.Header.Get("Content-Encoding") != "" {
			t.Errorf("%q differs between the codings", name)
		}
		if plain.Header.Get("Etag") == compressed.Header.Get("Etag") {
			t.Errorf("%q has one entity tag for two codings", name)
		}
		for _, r := range []*http.Response{plain, compressed} {
			for field, part := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
				"Cache-Control":           "no-cache", "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin", "Referrer-Policy": "same-origin",
			} {
				if r.Header.Get(field) != part {
					t.Errorf("%q: %s is %q", name, field, r.Header.Get(field))
				}
			}
		}
		for _, none := range []string{"gzip;q=0", "identity", ""} {
			if get(t, h, name, "Accept-Encoding", none).Header.Get("Content-Encoding") != "" {
				t.Errorf("%q comes as gzip for Accept-Encoding: %s", name, none)
			}
		}
		again := get(t, h, name, "Accept-Encoding", "gzip", "If-None-Match", `"x", W/`+compressed.Header.Get("Etag"))
		if again.StatusCode != 304 || len(body(t, again.Body)) > 0 {
			t.Errorf("%q is sent again: %d", name, again.StatusCode)
		}
	}
	if total > 100<<10 {
		t.Errorf("the console has %d bytes compressed; the first view must stay under 100 KiB", total)
	}
	if h.Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/console/../console.go", nil), "../console.go") {
		t.Error("it serves what is not of the console")
	}
}

// What makes markup of text, or loads from elsewhere, has no place in the console.
func TestConsoleMakesNoMarkupOfText(t *testing.T) {
	forbidden := regexp.MustCompile(`(?i)innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|createContextualFragment|srcdoc|javascript:|style=|\son[a-z]+=|https?://`)
	err := fs.WalkDir(static, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := static.ReadFile(name)
		if err != nil {
			return err
		}
		source := strings.ReplaceAll(string(text), "http://www.w3.org/2000/svg", "") // the name of SVG, which nothing loads
		for _, found := range forbidden.FindAllString(source, -1) {
			t.Errorf("%s has %q", name, found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
