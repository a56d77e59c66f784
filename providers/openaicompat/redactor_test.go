package openaicompat

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestRedactor(t *testing.T) {
	t.Parallel()
	r := newRedactor([]string{"a1b2c3d4e5.S3cretPart", "short.x"}, regexp.MustCompile(`<ak[^>]*>`))
	for text, want := range map[string]string{
		"nothing in it":                               "nothing in it",
		"the key a1b2c3d4e5.S3cretPart is wrong":      "the key [redacted] is wrong",
		"id a1b2c3d4e5, secret 'S3CRETPART'":          "id [redacted], secret '[redacted]'",
		"short.x is one, short alone is a word":       "[redacted] is one, short alone is a word",
		"account org-1<ak-xyz> request":               "account org-1[redacted] request",
		"Incorrect API key provided: sk-abcd****wxyz": "Incorrect API key provided: [redacted]",
		"code_sk-0123456789":                          "code_[redacted]",
		"a task-of-some-length, a risk-assessment":    "a task-of-some-length, a risk-assessment",
		"token eyJhbGciOi.eyJhcGlfa2V5.c2lnbmF0dXJl!": "token [redacted]!",
		"two\r\nlines\x1b[31m":                        "two  lines [31m",
		"cut \xf0\x9f":                                "cut \uFFFD",
	} {
		if got := r.text(text, 500); got != want {
			t.Errorf("%q became %q; want %q", text, got, want)
		}
	}
}

// TestRedactorHidesAll: whatever a text is, no secret comes through, and what
// comes is short and valid.
func TestRedactorHidesAll(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[a-z0-9]{6,20}`).Draw(t, "id")
		secret := rapid.StringMatching(`[A-Za-z0-9+*?()$-]{6,20}`).Draw(t, "secret")
		pieces := rapid.SliceOf(rapid.OneOf(rapid.SampledFrom([]string{id, secret, id + "." + secret, "长", "\xff", " "}), rapid.String())).Draw(t, "text")
		limit := rapid.IntRange(10, 600).Draw(t, "limit")
		got := newRedactor([]string{id + "." + secret}, nil).text(strings.Join(pieces, ""), limit)
		if len(got) > limit || !utf8.ValidString(got) {
			t.Errorf("%d bytes of at most %d: %q", len(got), limit, got)
		}
		// The mark itself may have a word of the mark in it.
		got = strings.ReplaceAll(got, redacted, "")
		if strings.Contains(got, id) || strings.Contains(got, secret) {
			t.Errorf("%q tells of %q and %q", got, id, secret)
		}
	})
}

func FuzzParseProblem(f *testing.F) {
	for _, body := range []string{
		`{"error":{"message":"no","type":"t","param":null,"code":null}}`, `{"error":"no"}`, `{"msg":"no","code":500}`,
		`{"code":"InvalidApiKey","message":"no"}`, `{"detail":[{"loc":["body"]}]}`, `{"success":false}`, `{"error":null,"id":"f"}`,
		`[]`, ``, `{"error":{"code":{"code":1}}}`, `{"code":0,"msg":"ok"}`, "\xff",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p := ParseErrorBody(body)
		if !p.JSON && (p.Stated || p.HasDetail()) {
			t.Errorf("%q: %+v of what is no object", body, p)
		}
		if p.Stated && isObject(body) && !p.JSON {
			t.Errorf("%q: %+v", body, p)
		}
		if again := ParseErrorBody(body); again != p {
			t.Errorf("%q is %+v and %+v", body, p, again)
		}
	})
}

func TestParseProblem(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]ErrorBody{
		``: {}, `null`: {}, `"no"`: {}, `[{"error":"no"}]`: {}, `{"error":`: {},
		`{}`: {JSON: true},
		`{"error":{"message":"no","type":"t","param":"p","code":null}}`: {Type: "t", Message: "no", Stated: true, JSON: true},
		`{"error":{"message":"no","code":"1113"}}`:                      {Code: "1113", Message: "no", Stated: true, JSON: true},
		`{"error":{"message":"no","code":1113}}`:                        {Code: "1113", Message: "no", Stated: true, JSON: true},
		`{"error":{"message":["a",1]}}`:                                 {Message: `["a",1]`, Stated: true, JSON: true},
		`{"id":"f","status":"failed","error":{"code":"1113"}}`:          {Code: "1113", Stated: true, JSON: true},
		`{"error":"no"}`:                                                {Message: "no", Stated: true, JSON: true},
		`{"error":true,"message":"no"}`:                                 {Message: "true", Stated: true, JSON: true},
		`{"msg":"no","code":500}`:                                       {Code: "500", Message: "no", Stated: true, JSON: true},
		`{"msg":"done","code":200}`:                                     {Code: "200", Message: "done", JSON: true},
		`{"code":"InvalidApiKey","message":"no","request_id":"r"}`:      {Code: "InvalidApiKey", Message: "no", Stated: true, JSON: true},
		`{"object":"error","message":"no","type":"t","code":"1500"}`:    {Type: "t", Code: "1500", Message: "no", Stated: true, JSON: true},
		`{"detail":"no"}`:                                               {Message: "no", JSON: true},
		`{"success":false,"message":"no"}`:                              {Message: "no", Stated: true, JSON: true},
		`{"error":null}`:                                                {JSON: true},
		`{"error":{},"id":"f"}`:                                         {JSON: true},
		`{"error":false,"id":"f"}`:                                      {JSON: true},
		` {"ERROR":{"Message":"no"}} `:                                  {Message: "no", Stated: true, JSON: true},
		`{"content":"text","file_type":"a/b","title":"","type":"file"}`: {Type: "file", JSON: true},
	} {
		if got := ParseErrorBody([]byte(body)); got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", body, got, want)
		}
	}
}
