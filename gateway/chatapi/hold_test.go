package chatapi

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"casgate/gateway/problem"
)

// TestAnswersThatBreakOff: an answer in one piece that breaks off is an error, since the
// client has got nothing. A stream has begun, and breaks off at the client, too.
func TestAnswersThatBreakOff(t *testing.T) {
	t.Parallel()
	cut := errors.New("cut")
	for name, test := range map[string]struct {
		mediaType, text string
		cut             bool
		refused         bool
	}{
		"whole":            {"application/json", `{"id":"1"}`, false, false},
		"broken":           {"application/json; charset=utf-8", `{"id":`, true, true},
		"broken at once":   {"application/json", "", true, true},
		"a broken stream":  {"text/event-stream", "data: 1\n\n", true, false},
		"signs of life":    {"application/json", "\n\n", true, false},
		"long":             {"application/json", `{"x":"` + strings.Repeat("x", 2*maxHeld) + `"}`, false, false},
		"long, and broken": {"application/json", `{"x":"` + strings.Repeat("x", 2*maxHeld), true, false},
		"empty":            {"application/json", "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCall(t, func(*http.Request) (*http.Response, error) {
				body := io.Reader(strings.NewReader(test.text))
				if test.cut {
					body = io.MultiReader(body, iotest.ErrReader(cut))
				}
				return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {test.mediaType}}, Body: io.NopCloser(body)}, nil
			})
			r, err := http.NewRequestWithContext(t.Context(), "POST", "http://provider/", nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := c.RoundTrip(r)
			if test.refused {
				if problem.Of(err, "").Code != "provider_unavailable" || !errors.Is(err, cut) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if text, err := io.ReadAll(answer.Body); string(text) != test.text || errors.Is(err, cut) != test.cut {
				t.Errorf("%d bytes of %d, %v", len(text), len(test.text), err)
			}
		})
	}
}

// TestRedirects: no client is sent elsewhere, or told to try again.
func TestRedirects(t *testing.T) {
	t.Parallel()
	c := newCall(t, func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 307, Header: http.Header{"Location": {"http://elsewhere.example/"}}, Body: http.NoBody}, nil
	})
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://provider/", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.RoundTrip(r)
	if d := problem.Of(err, ""); d.Status != http.StatusBadGateway || d.Retryable {
		t.Errorf("got %v, %+v", err, d)
	}
}

// TestFieldsOfTheConnection: the provider gets none of the fields that Connection names.
func TestFieldsOfTheConnection(t *testing.T) {
	t.Parallel()
	var got http.Header
	c := newCall(t, func(r *http.Request) (*http.Response, error) {
		got = r.Header
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
	})
	c.to.url, c.memory = &url.URL{Scheme: "http", Host: "provider"}, newMemory(1, 1).reserve("")
	r := httptest.NewRequest("POST", "/", nil)
	r.Header = http.Header{"Connection": {"OpenAI-Beta"}, "Openai-Beta": {"x"}, "Openai-Project": {"y"}}
	if err := c.proxy(c.c.Response(), r); err != nil {
		t.Fatal(err)
	}
	if got.Get("OpenAI-Beta") != "" || got.Get("OpenAI-Project") != "y" {
		t.Errorf("the provider got %v", got)
	}
}
