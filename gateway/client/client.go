// Package client is the Go client of a casgate gateway.
//
// Everything streams: the client holds neither uploads nor downloads in memory. It
// verifies a whole download while it reads, and returns the last bytes only if the
// digest is right. If the gateway can't be reached, or asks for a repeat (429, 503),
// the client repeats requests that are safe to repeat. It sends all others once.
//
// An error that the gateway answers is an *Error. It matches its problem code, such as
// problem.BlobNotFound, and the error of package cas with the same meaning, such as
// cas.ErrBlobNotFound.
package client

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// Options configures a Client. The zero value is usable.
type Options struct {
	// Token is sent with every request, except those of signed URLs. Empty: none.
	Token string
	// TokenSource says where the token comes from, such as a variable or a file. It is only
	// for errors: see Error.TokenSource.
	TokenSource string
	// HTTPClient sends the requests; nil means a new one. Its CheckRedirect is not used:
	// the client follows redirects only within the gateway's origin, and those of reads of
	// blobs to the object store, which get no token.
	HTTPClient *http.Client
	// Transport wraps the transport of the client's own HTTPClient, such as to observe
	// requests. Nil: it is used as it is. Its CloseIdleConnections is called, if it has one.
	Transport func(http.RoundTripper) http.RoundTripper
	// OnRetry is called before each wait for another attempt. Nil: nothing is.
	OnRetry func(err error, wait time.Duration)
	// NoRedirect reads large blobs through the gateway even if it would redirect to the object
	// store, as is needed if only the gateway can be reached.
	NoRedirect bool
	// UserAgent names the program in requests.
	UserAgent string
	// Retries bounds how often a request is repeated. 0 means 4, a negative number
	// means never.
	Retries int
}

const (
	defaultUserAgent = "casgate-client"
	defaultRetries   = 4
	// answerTimeout bounds the time until an answer begins, except for uploads. The bytes of its
	// body may come as slowly as they like; see bodyPatience.
	answerTimeout = 30 * time.Second
	// continueTimeout is how long an upload waits for 100-continue before it sends the
	// bytes anyway. A proxy in between may not know 100-continue.
	continueTimeout = 5 * time.Second
	// idleConns bounds the connections that are kept for later requests.
	idleConns = 16
)

// Client speaks to one gateway. It is safe for concurrent use.
type Client struct {
	base      string // without a slash at the end
	token     string
	tokenFrom string // see Options.TokenSource
	userAgent string
	retries   int
	http      *http.Client
	direct    bool // reads of blobs are not redirected
	onRetry   func(err error, wait time.Duration)
	own       bool // the client made http's transport itself
}

// New returns a client of the gateway at baseURL, such as http://127.0.0.1:8080. It
// sends nothing. ParseBaseURL says which URLs are right.
func New(baseURL string, o Options) (*Client, error) {
	base, err := ParseBaseURL(baseURL)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(o.Token, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || r == ' ' }) {
		return nil, errors.New("the token has characters that no token has; was it copied whole, and alone?")
	}
	c := &Client{
		base:      base,
		token:     o.Token,
		tokenFrom: o.TokenSource,
		userAgent: cmp.Or(o.UserAgent, defaultUserAgent),
		retries:   max(0, cmp.Or(o.Retries, defaultRetries)),
		own:       o.HTTPClient == nil,
		onRetry:   o.OnRetry,
		direct:    o.NoRedirect,
	}
	if c.own {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.ExpectContinueTimeout = continueTimeout
		transport.MaxIdleConnsPerHost = idleConns
		c.http = &http.Client{Transport: transport}
		if o.Transport != nil {
			c.http.Transport = o.Transport(transport)
		}
	} else {
		given := *o.HTTPClient
		c.http = &given
	}
	c.http.CheckRedirect = checkRedirect
	return c, nil
}

// BaseURL returns the gateway's URL, without a slash at the end.
func (c *Client) BaseURL() string { return c.base }

// Close closes idle connections, except those of an Options.HTTPClient.
func (c *Client) Close() {
	if c.own {
		c.http.CloseIdleConnections()
	}
}

// ParseBaseURL returns the URL of a gateway in its normal form: without a slash at the end, and
// without the /v1 that SDKs of OpenAI's API need.
func ParseBaseURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", errors.New("the gateway's URL is malformed; one such as http://127.0.0.1:8080 is needed")
	case u.User != nil:
		return "", errors.New("the gateway's URL has a user name or password in it; tokens are given separately")
	case u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("%q is not a gateway's URL; one such as http://127.0.0.1:8080 is needed", text)
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("the gateway's URL has a query or fragment; one such as http://127.0.0.1:8080 is needed")
	}
	path := strings.TrimSuffix(strings.TrimRight(u.EscapedPath(), "/"), "/v1")
	return u.Scheme + "://" + u.Host + strings.TrimRight(path, "/"), nil
}

// checkRedirect follows redirects only within an origin: a token must not go to another
// host. Those of blobs to the object store are followed by Blob.Open, without the token.
func checkRedirect(next *http.Request, via []*http.Request) error {
	if isToStore(next) {
		return http.ErrUseLastResponse
	}
	first := via[0].URL
	if next.URL.Scheme != first.Scheme || next.URL.Host != first.Host {
		return &redirectError{from: origin(first), to: origin(next.URL)}
	}
	if len(via) >= 5 {
		return &redirectError{from: origin(first), to: "itself, again and again"}
	}
	return nil
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

// redirectError reports a redirect that was not followed.
type redirectError struct{ from, to string }

func (e *redirectError) Error() string {
	return fmt.Sprintf("%s redirects to %s, which was not followed; if the gateway lies there, use that URL", e.from, e.to)
}
