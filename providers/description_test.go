package providers

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestAccountTellsNothing(t *testing.T) {
	t.Parallel()
	a := Account("kimi", "api.example", "sk-verysecret")
	seen := map[string]bool{a: true}
	for _, other := range []string{
		Account("glm", "api.example", "sk-verysecret"),
		Account("kimi", "other.example", "sk-verysecret"),
		Account("kimi", "api.example", "sk-verysecret2"),
	} {
		if seen[other] {
			t.Errorf("two accounts are both %s", other)
		}
		seen[other] = true
	}
	if a != Account("kimi", "api.example", "sk-verysecret") || strings.Contains(a, "sk-") || len(a) > 60 {
		t.Errorf("the fingerprint is %q", a)
	}
}

func TestDefaultPurpose(t *testing.T) {
	t.Parallel()
	d := Description{Provider: "p", Purposes: []Purpose{
		{Name: "docs"}, {Name: "image", MediaTypes: []string{"image/*"}}, {Name: "lines", MediaTypes: []string{"application/jsonl"}},
	}}
	for mediaType, want := range map[string]string{
		"": "docs", "text/plain": "docs", "image/png": "image", "image/png; x=y": "image", "application/jsonl": "lines", "imagex/png": "docs",
	} {
		if p, err := d.Purpose("", mediaType); err != nil || p.Name != want {
			t.Errorf("%q: %s, %v; want %s", mediaType, p.Name, err, want)
		}
	}
}

// A file's extension counts where the purpose of its media type doesn't take it.
func TestDefaultPurposeByExtension(t *testing.T) {
	t.Parallel()
	d := Description{Provider: "p", Purposes: []Purpose{
		{Name: "docs", Extensions: []string{".txt", ".pdf"}}, {Name: "image", MediaTypes: []string{"image/*"}, Extensions: []string{".png"}},
	}}
	for _, c := range []struct{ mediaType, extension, want string }{
		{"text/plain", ".txt", "docs"}, {"text/plain", ".png", "image"}, {"image/png", ".png", "image"},
		{"image/png", ".pdf", "docs"}, {"image/png", ".svg", "image"}, {"text/plain", "", "docs"},
	} {
		if p := d.DefaultPurpose(c.mediaType, c.extension); p.Name != c.want {
			t.Errorf("%s %s: %s, want %s", c.mediaType, c.extension, p.Name, c.want)
		}
	}
}

func TestErrorAsJSON(t *testing.T) {
	t.Parallel()
	e := Error{Provider: "kimi", Op: OpUpload, Kind: KindTransient, Status: 429, Code: "rate_limit_reached_error", Message: "slow down", RetryAfter: 1e9, TooMany: true, Hint: "wait"}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var back Error
	if err := json.Unmarshal(b, &back); err != nil || back != e {
		t.Errorf("%s came back as %+v, %v", b, back, err)
	}
	if text := e.Error(); text != "kimi: upload failed (429 rate_limit_reached_error): slow down; wait" {
		t.Errorf("text %q", text)
	}
}

func TestFileID(t *testing.T) {
	t.Parallel()
	gemini, other := Description{IDPrefix: "files/"}, Description{}
	for text, want := range map[string]string{
		"abc": "abc", "files/abc": "abc", "https://generativelanguage.googleapis.com/v1beta/files/abc": "abc",
		"": "", "myfiles/abc": "myfiles/abc", "files/": "", "files": "files",
	} {
		if got := gemini.FileID(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if got := other.FileID(text); got != text {
			t.Errorf("without a prefix, %q became %q", text, got)
		}
	}
}
