// Package client is the Go client of a casgate gateway.
//
// Everything streams: neither uploads nor downloads are held in memory. Whole
// downloads are verified as they come, and their last bytes withheld until the
// digest has been found right. Requests that may safely be repeated are, for a
// while, where the gateway can't be reached or asks for it (429, 503); all others
// are sent once.
//
// Errors that the gateway answers are of type *Error, and match the sentinel
// errors of package cas: errors.Is(err, cas.ErrBlobNotFound).
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
	// Token is sent with every request but those of signed URLs; empty sends none.
	Token string
	// HTTPClient sends the requests; nil means one made for the purpose. Its
	// CheckRedirect is not used: redirects are followed within the gateway's own
	// origin only.
	HTTPClient *http.Client
	// UserAgent names the program in requests.
	UserAgent string
	// Retries is how often a request that may be repeated is, at most. 0 means 4,
	// and a negative number never.
	Retries int
}

const (
	defaultUserAgent = "casgate-client"
	defaultRetries   = 4
	// answerTimeout bounds how long an answer to anything but an upload may take to
	// begin. Bodies may then take as long as they need.
	answerTimeout = 30 * time.Second
	// continueTimeout is how long an upload waits to be told that its bytes are
	// needed before it sends them unasked, as something between that doesn't know
	// 100-continue would have it.
	continueTimeout = 5 * time.Second
	// idleConns is how many connections are kept for the next requests.
	idleConns = 16
)

// Client speaks to one gateway. It is safe for concurrent use.
type Client struct {
	base      string // without a slash at the end
	token     string
	userAgent string
	retries   int
	http      *http.Client
	own       bool // http's transport was made here
}

// New makes a client of the gateway at baseURL, such as http://127.0.0.1:8080. It
// sends nothing.
func New(baseURL string, o Options) (*Client, error) {
	base, err := parseBase(baseURL)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(o.Token, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || r == ' ' }) {
		return nil, errors.New("the token has characters that no token has; was it copied whole, and alone?")
	}
	c := &Client{
		base:      base,
		token:     o.Token,
		userAgent: cmp.Or(o.UserAgent, defaultUserAgent),
		retries:   max(0, cmp.Or(o.Retries, defaultRetries)),
		own:       o.HTTPClient == nil,
	}
	if c.own {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.ExpectContinueTimeout = continueTimeout
		transport.MaxIdleConnsPerHost = idleConns
		c.http = &http.Client{Transport: transport}
	} else {
		given := *o.HTTPClient
		c.http = &given
	}
	c.http.CheckRedirect = checkRedirect
	return c, nil
}

// BaseURL returns the gateway's URL, without a slash at the end.
func (c *Client) BaseURL() string { return c.base }

// Close closes the connections that wait for a next request, unless they are
// those of an Options.HTTPClient.
func (c *Client) Close() {
	if c.own {
		c.http.CloseIdleConnections()
	}
}

// parseBase checks a gateway's URL and brings it to its one form.
func parseBase(text string) (string, error) {
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
	return u.Scheme + "://" + u.Host + strings.TrimRight(u.EscapedPath(), "/"), nil
}

// checkRedirect lets requests be redirected within an origin only: a token must
// not go to another host, and no gateway sends its clients there.
func checkRedirect(next *http.Request, via []*http.Request) error {
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

// redirectError is an answer that would have sent the request elsewhere.
type redirectError struct{ from, to string }

func (e *redirectError) Error() string {
	return fmt.Sprintf("%s redirects to %s, which was not followed; if the gateway lies there, use that URL", e.from, e.to)
}
