package chatapi

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"

	"casgate/gateway/request"
)

// call is the passing on of one request. It is the http.RoundTripper of its proxy, so that
// the proxy doesn't see that a request is sent again after it was healed.
type call struct {
	*completion
	pieces  [][]byte
	size    int64
	failed  error
	secrets secrets     // of the provider
	sent    atomic.Bool // the whole body
}

// buffers are for the bodies of answers.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte { return *b.pool.Get().(*[]byte) }

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

var answerBuffers = &buffers{sync.Pool{New: func() any { return new(make([]byte, 32<<10)) }}}

// noLog drops what the proxy logs: the gateway's own log has it.
var noLog = log.New(io.Discard, "", 0)

// proxy passes the request and the answer. An error comes before the answer has begun.
func (c *call) proxy(w http.ResponseWriter, r *http.Request) error {
	proxy := &httputil.ReverseProxy{
		Rewrite:        c.rewrite,
		Transport:      c,
		ModifyResponse: c.modify,
		ErrorHandler:   func(_ http.ResponseWriter, _ *http.Request, err error) { c.failed = err },
		BufferPool:     answerBuffers,
		ErrorLog:       noLog,
	}
	proxy.ServeHTTP(w, r)
	return c.failed
}

// passedFields are the fields of a request that the provider gets. All others stay here:
// the client's credential and cookies, what proxies add, and Accept-Encoding, since a
// compressed stream could not be passed on event by event.
var passedFields = []string{"Content-Type", "Accept", "User-Agent", "Traceparent", "Idempotency-Key"}

// passedPrefixes begin the names of further ones.
var passedPrefixes = []string{"Openai-", "X-Stainless-"}

// rewrite makes the request for the provider.
func (c *call) rewrite(p *httputil.ProxyRequest) {
	header := http.Header{"User-Agent": {"casgate"}}
	for name, values := range p.Out.Header { // without the fields that Connection names
		if isPassed(name) {
			header[name] = values
		}
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	p.Out.Method, p.Out.Header, p.Out.Host = http.MethodPost, header, ""
	p.Out.URL = c.to.url
	p.Out.Trailer, p.Out.TransferEncoding = nil, nil
	c.authorize(p.Out)
	c.fill(p.Out)
}

// authorize adds the provider's credential, and keeps it, so that no answer repeats it to
// the client. Some credentials differ from request to request.
func (c *call) authorize(r *http.Request) {
	own := &http.Request{Method: r.Method, URL: r.URL, Header: http.Header{}}
	c.to.chat.Authorize(own)
	for name, values := range own.Header {
		r.Header[name] = values
		for _, value := range values {
			if _, secret, ok := strings.Cut(value, " "); ok {
				value = secret
			}
			if len(value) >= minSecret {
				c.secrets = append(c.secrets, []byte(value))
			}
		}
	}
}

func isPassed(name string) bool {
	for _, prefix := range passedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	for _, passed := range passedFields {
		if name == passed {
			return true
		}
	}
	return false
}

// smallRequest is the size up to which a request is sent from one piece of memory, in
// bytes: package http then sends header and body at once.
const smallRequest = 64 << 10

// fill gives a request the body.
func (c *call) fill(r *http.Request) {
	if c.size <= smallRequest {
		r.Body = io.NopCloser(bytes.NewReader(bytes.Join(c.pieces, nil)))
		c.sent.Store(true) // what is kept of it is little
	} else {
		body := net.Buffers(c.pieces) // from which it takes away what was read
		r.Body = io.NopCloser(&sentBody{from: &body, left: c.size, sent: &c.sent})
		c.sent.Store(false)
	}
	r.ContentLength = c.size
	// Without GetBody, package http never sends a request again that may have arrived.
	r.GetBody = nil
}

// sentBody is a body that tells when its last byte was read.
type sentBody struct {
	from io.Reader
	left int64
	sent *atomic.Bool
}

// Read implements io.Reader.
func (b *sentBody) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if b.left -= int64(n); b.left == 0 {
		b.sent.Store(true)
	}
	return n, err
}

// keptFields are fields of the provider's answer that the client doesn't get: cookies,
// what would bind the client's browser to the provider's host, send it elsewhere or clear
// its data, and which pages may read it.
var keptFields = canonical("Set-Cookie", "Set-Cookie2", "Authorization", "Alt-Svc", "Strict-Transport-Security", "Clear-Site-Data", "Refresh", "Location", "Cache-Control", "X-Accel-Buffering", "X-Request-Id", "Date",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers",
	"Access-Control-Expose-Headers", "Access-Control-Max-Age", "Vary", headerProvider, headerHealed, headerUpstreamID, "X-Casgate-Error")

// canonical returns the names of fields as a header has them.
func canonical(names ...string) []string {
	for i, name := range names {
		names[i] = textproto.CanonicalMIMEHeaderKey(name)
	}
	return names
}

// modify makes the header of the answer. The proxy has removed the fields of the
// connection.
func (c *call) modify(answer *http.Response) error {
	h := answer.Header
	upstreamID := h.Get("X-Request-Id")
	for _, name := range keptFields {
		delete(h, name)
	}
	if answer.StatusCode != http.StatusUnauthorized { // elsewhere it means nothing to a client
		delete(h, "Www-Authenticate")
	}
	c.secrets.hideIn(h)
	if upstreamID != "" {
		h.Set(headerUpstreamID, upstreamID)
	}
	if c.healed {
		h.Set(headerHealed, "1")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold a stream back
	return nil
}

// broke records that the answer broke off. Its client can see that, too.
func (c *call) broke(err error) { request.StateOf(c.c).LogError = err }
