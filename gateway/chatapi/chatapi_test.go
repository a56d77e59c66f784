package chatapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"casgate/cas"
	"casgate/gateway/chatbody"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/view"
	"casgate/providers"
	"casgate/providers/replicator"
)

// roundTrip is a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// newCall returns a call to a provider behind a transport, with the usual time-outs.
func newCall(t *testing.T, transport roundTrip) *call {
	t.Helper()
	o, err := Options{Transport: transport}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	m := newMetrics(prometheus.NewRegistry())
	h := &Handlers{o: o, metrics: m, upstream: newUpstream(o, m)}
	c := echo.New().NewContext(httptest.NewRequest("POST", "/", nil), httptest.NewRecorder())
	c.Response().Writer = request.NewState(c.Response().Writer, "an operation")
	return &call{completion: &completion{h: h, c: c, memory: newMemory(1, 1).reserve(""), to: target{provider: "kimi", chat: providers.ChatAPI{Authorize: func(*http.Request) {}}}}}
}

// proxyOf passes a request through a call. Without a target, it has a URL that no transport
// of a test looks at.
func (c *call) proxyOf(t *testing.T) error {
	t.Helper()
	if c.to.url == nil {
		c.to.url = &url.URL{Scheme: "http", Host: "provider"}
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	return c.proxy(c.c.Response(), r)
}

// proxied passes a request through a call, and returns the answer.
func (c *call) proxied(t *testing.T) *httptest.ResponseRecorder {
	t.Helper()
	if err := c.proxyOf(t); err != nil {
		t.Fatal(err)
	}
	return request.StateOf(c.c).ResponseWriter.(*httptest.ResponseRecorder)
}

// slowBody is a body whose bytes come after times.
type slowBody struct {
	ctx    context.Context
	pauses []time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	if len(b.pauses) == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(b.pauses[0]):
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
	b.pauses = b.pauses[1:]
	p[0] = 'x'
	return 1, nil
}

func (b *slowBody) Close() error { return nil }

func TestSilence(t *testing.T) {
	for name, test := range map[string]struct {
		answer time.Duration
		pauses []time.Duration
		err    error
	}{
		"90 s within the answer":       {0, []time.Duration{0, 90 * time.Second, 90 * time.Second}, nil},
		"6 min within the answer":      {0, []time.Duration{0, 6 * time.Minute}, errSilent},
		"9 min before the answer":      {9 * time.Minute, []time.Duration{0}, nil},
		"11 min before the answer":     {11 * time.Minute, nil, errNoAnswer},
		"many short ones in an answer": {0, []time.Duration{4 * time.Minute, 4 * time.Minute, 4 * time.Minute, 4 * time.Minute}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCall(t, func(r *http.Request) (*http.Response, error) {
					select {
					case <-time.After(test.answer):
					case <-r.Context().Done():
						return nil, r.Context().Err()
					}
					return &http.Response{StatusCode: 200, Header: http.Header{}, Body: &slowBody{r.Context(), test.pauses}}, nil
				})
				r, err := http.NewRequestWithContext(t.Context(), "POST", "http://provider/", nil)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := c.send(r)
				if err == nil {
					defer answer.Body.Close()
					_, err = io.ReadAll(answer.Body)
				}
				if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
					t.Errorf("got %v, want %v", err, test.err)
				}
			})
		})
	}
}

// The slot at the provider is taken for the whole of the answer.
func TestSlots(t *testing.T) {
	c := newCall(t, func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("x"))}, nil
	})
	taken := 0
	c.to.chat.Begin = func(context.Context) (func(), error) {
		taken++
		return func() { taken-- }, nil
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://provider/", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.send(r)
	if err != nil || taken != 1 {
		t.Fatalf("%v, %d slots", err, taken)
	}
	if _, err := io.ReadAll(answer.Body); err != nil || taken != 1 {
		t.Errorf("%v, %d slots", err, taken)
	}
	answer.Body.Close()
	answer.Body.Close()
	if taken != 0 {
		t.Errorf("%d slots", taken)
	}
	limited := &providers.Error{Kind: providers.KindTransient, Code: providers.CodeLimited}
	c.to.chat.Begin = func(context.Context) (func(), error) { return nil, limited }
	if _, err := c.send(r); !errors.Is(err, limited) {
		t.Errorf("got %v", err)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	filler := strings.Repeat(`data: {"x":1}`+"\n\n", 20_000)
	for name, test := range map[string]struct {
		answer string
		want   usage
		none   bool
	}{
		"JSON":             {`{"usage": {"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":2}},"z":1}`, usage{5, 2, 3}, false},
		"Moonshot":         {`{"usage":{"prompt_tokens":5,"completion_tokens":3,"cached_tokens":2}}`, usage{5, 2, 3}, false},
		"a long stream":    {filler + `data: {"usage":null}` + "\n\n" + `data: {"choices":[],"usage":{"prompt_tokens":7}}` + "\n\ndata: [DONE]\n\n", usage{7, 0, 0}, false},
		"null at the end":  {`data: {"usage":{"prompt_tokens":1}}` + "\n\n" + `data: {"usage":null}` + "\n\n", usage{1, 0, 0}, false},
		"words in a text":  {`{"content":"\"usage\":{\"prompt_tokens\":9}"}`, usage{}, true},
		"a cut off one":    {`{"usage":{"prompt_tokens":9`, usage{}, true},
		"none":             {filler, usage{}, true},
		"another shape":    {`{"usage":{"prompt_tokens":"9"}}`, usage{}, true},
		"nothing":          {"", usage{}, true},
		"the name alone":   {`"usage"`, usage{}, true},
		"a name and a sep": {`"usage":`, usage{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var tail usageTail
			for rest := test.answer; rest != ""; {
				n := min(len(rest), 1000)
				tail.add([]byte(rest[:n]))
				rest = rest[n:]
			}
			got, ok := usageOf(tail.bytes())
			if got != test.want || ok == test.none {
				t.Errorf("got %+v, %t", got, ok)
			}
		})
	}
}

func TestTokensAreCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	newMetrics(registry).tokens("kimi", []byte(`{"usage":{"prompt_tokens":5,"completion_tokens":3,"cached_tokens":2}}`))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "kind" {
					got[label.GetValue()] = metric.GetCounter().GetValue()
				}
			}
		}
	}
	if want := map[string]float64{"prompt": 5, "completion": 3, "cached": 2}; !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestUsageTailKeepsTheEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var tail usageTail
		var all []byte
		for range rapid.IntRange(0, 8).Draw(t, "writes") {
			p := bytes.Repeat([]byte{byte(len(all))}, rapid.IntRange(0, 2*tailSize).Draw(t, "size"))
			tail.add(p)
			all = append(all, p...)
		}
		if got := tail.bytes(); !bytes.HasSuffix(all, got) || len(got) < min(len(all), tailSize) || len(got) > 2*tailSize {
			t.Fatalf("%d of %d bytes", len(got), len(all))
		}
	})
}

func TestInline(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, mediaType, name, bytes string }{
		"base64":                 {"data:image/png;base64,QUI=", "image/png", "", "AB"},
		"in capitals":            {"DATA:image/png;BASE64,QUI=", "image/png", "", "AB"},
		"without padding":        {"data:image/png;base64,QUI", "image/png", "", "AB"},
		"for URLs":               {"data:;base64,-_-_", "", "", "\xfb\xff\xbf"},
		"percent-encoded base64": {"data:;base64,%2B%2F%2b%2F%0D%0AQQ%3D%3d", "", "", "\xfb\xff\xbfA"},
		"with line ends":         {"data:image/png;base64,QU\r\nI=\n", "image/png", "", "AB"},
		"with a parameter":       {"data:text/plain;charset=utf-8;base64,QUI=", "text/plain; charset=utf-8", "", "AB"},
		"with a name":            {"data:application/pdf;name=a.pdf;base64,QUI=", "application/pdf; name=a.pdf", "a.pdf", "AB"},
		"percent-encoded":        {"data:text/plain,a%20b", "text/plain", "", "a b"},
		"without a type":         {"data:,a", "", "", "a"},
		"plain base64":           {"QUI=", "", "", "AB"},
		"nothing":                {"data:image/png;base64,", "image/png", "", ""},
		"a URL without a comma ": {"data:QUI=", "", "", "AB"},
	} {
		t.Run(name, func(t *testing.T) {
			in := parseInline([]byte(test.text))
			got, err := io.ReadAll(in.open())
			if err != nil || string(got) != test.bytes || in.mediaType != test.mediaType || in.name != test.name || in.size() < len(got) {
				t.Errorf("%q %q %q %d, %v", got, in.mediaType, in.name, in.size(), err)
			}
		})
	}
	for _, bad := range []string{"data:;base64,!", "Q", "data:,%zz", "data:;base64,QUI%3", "data:;base64,%41UI%21", strings.Repeat("QUJD", base64Step) + "Q"} {
		if got, err := io.ReadAll(parseInline([]byte(bad)).open()); err == nil {
			t.Errorf("%.20s: %d bytes", bad, len(got))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "bytes")
		want = bytes.Repeat(want, rapid.IntRange(1, 1000).Draw(t, "times"))
		encoding := rapid.SampledFrom([]*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding}).Draw(t, "encoding")
		got, err := io.ReadAll(parseInline([]byte("data:;base64," + encoding.EncodeToString(want))).open())
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(want), err)
		}
	})
}

func TestHashURL(t *testing.T) {
	t.Parallel()
	x := &completion{h: &Handlers{Parts: Parts{URLs: view.URLs{Base: "https://files.example/sub"}}}}
	d := cas.DigestOf([]byte("x"))
	for text, want := range map[string]bool{
		d.String(): true, "/v1/blobs/" + d.String(): true, "https://files.example/sub/v1/blobs/" + d.String(): true,
		"https://files.example/sub/v1/blobs/" + d.String() + "?signature=x&y#z": true, "/v1/blobs/sha256%3A" + d.Hex(): true,
		"https://files.example/v1/blobs/" + d.String(): false, "https://evil.example/sub/v1/blobs/" + d.String(): false, "v1/blobs/" + d.String(): false,
		"HTTPS://Files.EXAMPLE/sub/v1/blobs/" + d.String(): true, "https://files.example/SUB/v1/blobs/" + d.String(): false, "HTTPS:/v1/blobs/" + d.String(): false,
		"http://files.example/sub/v1/blobs/" + d.String(): false, "https://files.example/sub/sub/v1/blobs/" + d.String(): false, "": false, "ms://" + d.String(): false,
		"https://files.example/sub": false,
	} {
		got, ok, err := x.hashURL(text)
		if err != nil || ok != want || ok && got != d {
			t.Errorf("%s: %s %t %v", text, got, ok, err)
		}
	}
}

// A reference is as often in the request as its file. Its copies are counted before they
// are made.
func TestSizeOfManyParts(t *testing.T) {
	t.Parallel()
	c := newCall(t, nil)
	c.h.o.MaxBody = 1 << 20
	value := bytes.Repeat([]byte("x"), 1<<20) // no JSON: to put it into the request would be an error
	c.body = &chatbody.Body{}
	for range 3 {
		c.attached = append(c.attached, &attachment{ref: replicator.Reference{Value: value}})
	}
	if _, _, err := c.completion.pieces(); !errors.Is(err, problem.RequestTooLarge) {
		t.Errorf("error %v", err)
	}
}
