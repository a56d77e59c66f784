package chatapi

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"casgate/gateway/problem"
)

func zipped(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestCodings: a compressed answer reaches the client decoded, since no request asks for
// one. Another coding is an error that names the provider.
func TestCodings(t *testing.T) {
	t.Parallel()
	const text = `{"key":"sk-0123456789","usage":{}}`
	for coding, test := range map[string]struct {
		body    string
		refused bool
	}{
		"":           {text, false},
		"identity":   {text, false},
		"gzip":       {zipped(t, text), false},
		" X-GZIP":    {zipped(t, text), false},
		"gzip, gzip": {zipped(t, zipped(t, text)), true},
		"br":         {text, true},
	} {
		t.Run(coding, func(t *testing.T) {
			t.Parallel()
			c := newCall(t, func(*http.Request) (*http.Response, error) {
				h := http.Header{"Content-Type": {"application/json"}, "Etag": {`"1"`}}
				if coding != "" {
					h.Set("Content-Encoding", coding)
				}
				return &http.Response{StatusCode: 200, Header: h, ContentLength: int64(len(test.body)), Body: io.NopCloser(strings.NewReader(test.body))}, nil
			})
			c.to.chat.Authorize = func(r *http.Request) { r.Header.Set("Authorization", "Bearer sk-0123456789") }
			if test.refused {
				err := c.proxyOf(t)
				if d := problem.Of(err, ""); d.Status != http.StatusBadGateway || d.Provider != "kimi" || d.Retryable {
					t.Errorf("got %v, %+v", err, d)
				}
				return
			}
			got := c.proxied(t)
			if want := strings.Replace(text, "sk-0123456789", "(hidden)*****", 1); got.Body.String() != want || got.Header().Get("Content-Encoding") != "" || got.Header().Get("Etag") != `"1"` {
				t.Errorf("%q, %v", got.Body, got.Header())
			}
		})
	}
	t.Run("an empty body", func(t *testing.T) {
		t.Parallel()
		c := newCall(t, func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Encoding": {"gzip"}}, Body: http.NoBody}, nil
		})
		if got := c.proxied(t); got.Code != 200 || got.Body.Len() != 0 {
			t.Errorf("%d, %q", got.Code, got.Body)
		}
	})
}
