package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"casgate/cas"
)

func TestParseRange(t *testing.T) {
	const size = 1000
	whole := byteRange{}
	for header, want := range map[string]byteRange{
		"":                             whole,
		"bytes=0-0":                    {0, 1},
		"bytes=0-":                     {0, 1000},
		"bytes=0-999":                  {0, 1000},
		"bytes=0-1000":                 {0, 1000},
		"bytes=999-":                   {999, 1},
		"bytes=10-19":                  {10, 10},
		"bytes=-1":                     {999, 1},
		"bytes=-1000":                  {0, 1000},
		"bytes=-5000":                  {0, 1000},
		"BYTES=1-2":                    {1, 2},
		"bytes= 1-2":                   {1, 2},
		"bytes=1-99999999999999999999": {1, 999},
		"bytes=0-1,5-6":                whole, // several: the whole is sent
		"items=0-1":                    whole, // another unit: ignored
		"nonsense":                     whole,
	} {
		got, partial, err := parseRange(header, size)
		if err != nil || got != want || partial != (want != whole) {
			t.Errorf("%q: %+v, %t, %v; want %+v", header, got, partial, err, want)
		}
	}
	for _, header := range []string{"bytes=1000-", "bytes=1000-1001", "bytes=5-4", "bytes=-0", "bytes=-", "bytes=", "bytes=a-b", "bytes=1", "bytes=--1", "bytes=1-2-3", "bytes=99999999999999999999-", "bytes=+1-2", "bytes=1 - 2"} {
		if got, _, err := parseRange(header, size); !errors.Is(err, cas.ErrRangeNotSatisfiable) {
			t.Errorf("%q: %+v, %v; want an error", header, got, err)
		}
	}
	for _, header := range []string{"bytes=0-", "bytes=-1", "bytes=0-0"} {
		if _, _, err := parseRange(header, 0); !errors.Is(err, cas.ErrRangeNotSatisfiable) {
			t.Errorf("%q of an empty blob: %v", header, err)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	f.Add("bytes=0-1", int64(10))
	f.Add("bytes=-5", int64(3))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		r, partial, err := parseRange(header, size)
		if err != nil && (partial || !errors.Is(err, cas.ErrRangeNotSatisfiable)) {
			t.Fatalf("%q of %d: %v", header, size, err)
		}
		if partial && (r.Offset < 0 || r.Length < 1 || r.Offset > size-r.Length) {
			t.Fatalf("%q of %d: %+v lies outside", header, size, r)
		}
	})
}

func TestDigestFieldRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := cas.DigestOf(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		got, err := parseDigestField([]string{formatDigestField(d)})
		if err != nil || got != d {
			t.Fatalf("%v, %v", got, err)
		}
	})
}

func TestDigestFields(t *testing.T) {
	d := cas.DigestOf([]byte("x"))
	good := formatDigestField(d)
	other := formatDigestField(cas.DigestOf(nil))
	for name, tt := range map[string]struct {
		header http.Header
		want   cas.Digest
		fails  bool
	}{
		"none":              {http.Header{}, cas.Digest{}, false},
		"repr":              {http.Header{"Repr-Digest": {good}}, d, false},
		"content":           {http.Header{"Content-Digest": {good}}, d, false},
		"both":              {http.Header{"Repr-Digest": {good}, "Content-Digest": {good}}, d, false},
		"contradiction":     {http.Header{"Repr-Digest": {good}, "Content-Digest": {other}}, cas.Digest{}, true},
		"among others":      {http.Header{"Repr-Digest": {"md5=:AAAA:, " + good}}, d, false},
		"on two lines":      {http.Header{"Repr-Digest": {"sha-512=:AAAA:", good}}, d, false},
		"others alone":      {http.Header{"Repr-Digest": {"sha-512=:AAAA:"}}, cas.Digest{}, false},
		"not a dictionary":  {http.Header{"Repr-Digest": {"!"}}, cas.Digest{}, true},
		"hex":               {http.Header{"Repr-Digest": {"sha-256=" + d.Hex()}}, cas.Digest{}, true},
		"a string":          {http.Header{"Repr-Digest": {`sha-256="abc"`}}, cas.Digest{}, true},
		"a list":            {http.Header{"Repr-Digest": {"sha-256=(:AAAA:)"}}, cas.Digest{}, true},
		"too short":         {http.Header{"Repr-Digest": {"sha-256=:AAAA:"}}, cas.Digest{}, true},
		"base64 cut":        {http.Header{"Repr-Digest": {good[:len(good)-3]}}, cas.Digest{}, true},
		"without its value": {http.Header{"Repr-Digest": {"sha-256"}}, cas.Digest{}, true},
	} {
		got, err := requestDigest(tt.header)
		if got != tt.want || (err != nil) != tt.fails {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func FuzzParseDigestField(f *testing.F) {
	f.Add(formatDigestField(cas.DigestOf(nil)))
	f.Add("sha-256=:AAAA:, sha-512=:AAAA:")
	f.Fuzz(func(t *testing.T, line string) {
		d, err := parseDigestField([]string{line})
		if err != nil && !d.IsZero() {
			t.Fatalf("%q: %v with %v", line, d, err)
		}
	})
}

func TestMatchesETag(t *testing.T) {
	etag := etagOf(cas.DigestOf(nil))
	for list, want := range map[string]bool{
		etag: true, "W/" + etag: true, "*": true, ` "a", ` + etag: true, `"a",W/"b",` + etag + `,"c"`: true,
		"": false, `"a"`: false, strings.Trim(etag, `"`): false, etag[:len(etag)-1]: false, "W/": false, `"a" x ` + etag: false, ",,": false,
	} {
		if got := matchesETag(list, etag, true); got != want {
			t.Errorf("%q: %t", list, got)
		}
	}
	if matchesETag("W/"+etag, etag, false) {
		t.Error("a weak tag matches strongly")
	}
}

func FuzzMatchesETag(f *testing.F) {
	etag := etagOf(cas.DigestOf(nil))
	f.Add(`"a", W/"b"`)
	f.Fuzz(func(t *testing.T, list string) {
		if matchesETag(list, etag, false) && !matchesETag(list, etag, true) {
			t.Fatalf("%q matches strongly, not weakly", list)
		}
		if !strings.ContainsAny(list, "*") && !strings.Contains(list, etag) && matchesETag(list, etag, true) {
			t.Fatalf("%q matches", list)
		}
	})
}

func TestContentDisposition(t *testing.T) {
	for _, tt := range []struct{ mediaType, name, download, want string }{
		{"image/png", "", "", ""},
		{"image/png", "a.png", "", `inline; filename=a.png`},
		{"image/svg+xml", "", "", "attachment"},
		{"IMAGE/SVG+XML; charset=utf-8", "", "", "attachment"},
		{"text/html", "x.html", "", `attachment; filename=x.html`},
		{"text/plain; charset=utf-8", "", "", ""},
		{"application/pdf", "", "r.pdf", `attachment; filename=r.pdf`},
		{"application/octet-stream", `a"b\c`, "", `attachment; filename="a\"b\\c"`},
		{"application/pdf", "报告 1.pdf", "", `inline; filename*=utf-8''%E6%8A%A5%E5%91%8A%201.pdf`},
		{"text/javascript", "", "", "attachment"},
		{"application/xml", "", "", "attachment"},
	} {
		if got := contentDisposition(cas.Blob{MediaType: tt.mediaType, Name: tt.name}, tt.download); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

func TestCleanName(t *testing.T) {
	for name, want := range map[string]string{
		"": "", "a.txt": "a.txt", "/etc/passwd": "passwd", `C:\x\y.pdf`: "y.pdf", "..": "", "a/..": "", "日本.txt": "日本.txt", "dir/": "", "😀": "😀",
		strings.Repeat("n", 255): strings.Repeat("n", 255),
	} {
		if got, err := cleanName(name); err != nil || got != want {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"a\x00b", "a\nb", "\x7f", "\xff", strings.Repeat("n", 256), "\u0085"} {
		if got, err := cleanName(name); err == nil {
			t.Errorf("%q was taken as %q", name, got)
		}
	}
}

func TestDeclaredMediaType(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "application/octet-stream": "", "application/x-www-form-urlencoded": "", "Text/HTML": "text/html",
		"text/plain; Charset=UTF-8": "text/plain; charset=UTF-8", "image/png": "image/png",
	} {
		if got, err := declaredMediaType(header); err != nil || got != want {
			t.Errorf("%q: %q, %v", header, got, err)
		}
	}
	for _, header := range []string{"nonsense", "text/plain; =", "text/", "/", "a b/c", "text/plain\x00", strings.Repeat("a", 300)} {
		if got, err := declaredMediaType(header); err == nil {
			t.Errorf("%q was taken as %q", header, got)
		}
	}
}

func TestCursorRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := cas.Blob{CreatedAt: time.UnixMicro(rapid.Int64Range(1, 1e16).Draw(t, "µs")).UTC(), Digest: cas.DigestOf(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))}
		got, err := parseCursor(formatCursor(b))
		if err != nil || !got.CreatedAt.Equal(b.CreatedAt) || got.Digest != b.Digest {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

func FuzzParseCursor(f *testing.F) {
	f.Add(formatCursor(cas.Blob{CreatedAt: time.UnixMicro(1)}))
	f.Fuzz(func(t *testing.T, text string) {
		cursor, err := parseCursor(text)
		if err != nil && cursor != (cas.Cursor{}) {
			t.Fatalf("%q: %+v with %v", text, cursor, err)
		}
	})
}

// stalled is a body that never comes.
type stalled struct{ done <-chan struct{} }

func (s stalled) Read([]byte) (int, error) { <-s.done; return 0, errors.New("gone") }

func TestUploadBodyMarksItsErrors(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := newUploadBody(w, r, 1024, time.Second)
		var buf bytes.Buffer
		_, err := buf.ReadFrom(body)
		fmt.Fprintf(w, "slow=%t body=%t bytes=%d", errors.Is(err, errSlowBody), errors.Is(err, cas.ErrBodyRead), body.total)
	}))
	defer server.Close()
	done := make(chan struct{})
	defer close(done)
	resp, err := http.Post(server.URL, "text/plain", stalled{done})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	if buf.String() != "slow=true body=true bytes=0" {
		t.Errorf("got %q", buf.String())
	}
}
