package gateway_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"casgate/providers"
)

// cannedChat is the chat of a provider that cannedAnswers stands for.
var cannedChat = providers.ChatAPI{
	URL: "http://provider.invalid/chat/completions", ModelsURL: "http://provider.invalid/models",
	Authorize: func(r *http.Request) { r.Header.Set("Authorization", "Bearer key-of-the-provider") },
}

// cannedAnswers reads each request and answers it, without a network.
type cannedAnswers struct{}

func (cannedAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	_, err := io.Copy(io.Discard, r.Body)
	r.Body.Close()
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: int64(len(shortAnswer)),
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(shortAnswer)),
	}, err
}

// sender is a ResponseWriter whose client sends the body at once.
type sender struct{ nowhere }

func (*sender) SetReadDeadline(time.Time) error { return nil }

// BenchmarkChat measures the gateway's own work for a chat, without the network, beside that
// of a bare proxy: one of 10 KiB with a file that has a copy, and one with an inline image of
// 10 MiB that is known.
func BenchmarkChat(b *testing.B) {
	rig := newBench(b)
	image := rig.put(b, []byte(pngStart+"image"), "photo.png").String()
	inline := "data:image/png;base64," + base64.StdEncoding.EncodeToString(append([]byte(pngStart), random(10<<20)...))
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.Out.URL.Host = "provider.invalid" }, Transport: cannedAnswers{}}
	for name, url := range map[string]string{"file": image, "inline": inline} {
		body := fmt.Sprintf(`{"model":"kimi/kimi-k2.6","messages":[{"role":"system","content":"%s"},{"role":"user","content":[%s,{"type":"text","text":"What is it?"}]}]}`,
			strings.Repeat("word ", 10<<10/5), imagePart(url))
		request := func() *http.Request {
			req := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(body))
			req.Header.Set("Authorization", "Bearer "+rig.token)
			return req
		}
		for side, handler := range map[string]http.Handler{"gateway": rig.gateway, "proxy": proxy} {
			b.Run(name+"/"+side, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					w := &sender{nowhere{header: http.Header{}}}
					handler.ServeHTTP(w, request())
					if w.n != len(shortAnswer) {
						b.Fatalf("%d bytes", w.n)
					}
				}
			})
		}
	}
}
