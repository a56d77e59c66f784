package openaicompat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"casgate/providers"
)

// Dialect holds the parts of a provider's file API that need code. Each may be nil
// or empty.
type Dialect struct {
	// Status reads a file's status in an answer. The word is in lower case, and empty if
	// the answer has none. Nil means: "error" and "failed" are StatusFailed, all else is StatusReady.
	Status func(word string) providers.Status
	// FailureCode returns RemoteFile.Code for the message about a failed file. Nil means
	// that the messages tell nothing.
	FailureCode func(message string) string
	// Authorize adds the credential to a request, and what else each request needs in
	// its header. Nil means the key as a bearer token.
	Authorize func(*http.Request)
	// ClassifyError refines the error made from an answer by the provider's own codes.
	// It may change Kind, Code, RetryAfter, TooMany and Hint.
	ClassifyError func(*providers.Error, ErrorBody)
	// ParseErrorBody reads the body of an answer. Nil means the function ParseErrorBody.
	ParseErrorBody func(body []byte) ErrorBody
	// Secrets are removed from all texts, in addition to the key. So are the matches of
	// Private.
	Secrets []string
	Private *regexp.Regexp
}

// Client calls the OpenAI-like file API of one account. Adapters embed it for
// Describe, Upload, Delete and List, and build their optional abilities on Lookup
// and Content.
type Client struct {
	api         API
	dialect     Dialect
	description providers.Description
	base        string // without a slash at the end
	chatURL     string
	http        *http.Client
	redactor    redactor
}

const (
	userAgent = "casgate"
	// answerTimeout bounds a call with a short answer. In a long answer it bounds the
	// time between two bytes.
	answerTimeout = 30 * time.Second
	// An upload may take uploadTimeout, plus its size divided by uploadRate (bytes per
	// second).
	uploadTimeout = 5 * time.Minute
	uploadRate    = 64 << 10
	maxRedirects  = 5
)

// NewClient returns the client of an account. It checks the settings, and sends
// nothing.
func NewClient(api API, dialect Dialect, s providers.Settings) (*Client, error) {
	name := cmp.Or(s.Name, api.Name)
	base, err := parseBase(cmp.Or(s.BaseURL, api.BaseURL))
	if err != nil {
		return nil, fmt.Errorf("%s: the base URL (%s) %w", name, variable(name, "BASE_URL"), err)
	}
	switch {
	case s.APIKey == "":
		return nil, fmt.Errorf("%s: there is no API key; set %s", name, variable(name, "API_KEY"))
	case strings.ContainsFunc(s.APIKey, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || r == ' ' }):
		return nil, fmt.Errorf("%s: the API key (%s) has characters that no key has; was it copied whole, and alone?", name, variable(name, "API_KEY"))
	}
	api, err = api.expiring(s.Lifetime)
	if err != nil {
		return nil, fmt.Errorf("%s: the lifetime of files (%s) %w", name, variable(name, "LIFETIME"), err)
	}
	api = api.settling(s.Settling)
	if dialect.Authorize == nil {
		bearer := "Bearer " + s.APIKey
		dialect.Authorize = func(r *http.Request) { r.Header.Set("Authorization", bearer) }
	}
	if dialect.Status == nil {
		dialect.Status = readyUnlessFailed
	}
	if dialect.ParseErrorBody == nil {
		dialect.ParseErrorBody = ParseErrorBody
	}
	baseURL := base.Scheme + "://" + base.Host + strings.TrimRight(base.EscapedPath(), "/")
	chatURL, err := parseChatURL(cmp.Or(s.ChatURL, api.ChatURL), baseURL)
	if err != nil {
		return nil, fmt.Errorf("%s: the URL of chats (%s) %w", name, variable(name, "CHAT_URL"), err)
	}
	transport := s.Transport
	if transport == nil {
		transport = providers.NewTransport()
	}
	host := strings.TrimSuffix(strings.ToLower(base.Host), ":443")
	account := providers.Account(name, host, s.APIKey)
	if s.Account != "" {
		if account, err = providers.NamedAccount(name, host, s.Account); err != nil {
			return nil, fmt.Errorf("%s: the account's name (%s) %w", name, variable(name, "ACCOUNT"), err)
		}
	}
	if s.Simulated {
		account = "simulated-" + account
	}
	return &Client{
		api: api, dialect: dialect,
		description: providers.Description{
			Provider: name, Account: account, Host: host, Simulated: s.Simulated, IDPrefix: api.IDPrefix,
			RenamesDuplicates: api.RenamesDuplicates, Purposes: api.Purposes, Limits: api.Limits,
		},
		base:     baseURL,
		chatURL:  chatURL,
		http:     &http.Client{Transport: transport, CheckRedirect: checkRedirect},
		redactor: newRedactor(append(slices.Clone(dialect.Secrets), s.APIKey), dialect.Private),
	}, nil
}

// Describe implements providers.Provider.
func (c *Client) Describe() providers.Description { return c.description }

// purpose returns the purpose with this name, or the zero Purpose.
func (c *Client) purpose(name string) providers.Purpose {
	for _, p := range c.description.Purposes {
		if p.Name == name {
			return p
		}
	}
	return providers.Purpose{}
}

// parseBase checks a base URL. Its error texts continue the words "the base URL".
func parseBase(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil: // which may quote a password
		return nil, errors.New("is malformed; one such as https://api.example.com/v1 is needed")
	case u.User != nil:
		return nil, errors.New("has a user name or password in it; the key is given separately")
	case u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("is %q; one such as https://api.example.com/v1 is needed", text)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("has a query or a fragment; one such as https://api.example.com/v1 is needed")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("is %q, which would send the key in the clear; use https", text)
	}
	return u, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// variable returns the name of the environment variable for a provider's setting.
func variable(provider, what string) string {
	return "CAS_" + strings.ToUpper(strings.ReplaceAll(provider, "-", "_")) + "_" + what
}

// checkRedirect follows a redirect only if it is a GET to the same host: the key
// must not reach another host, and an upload can't be sent twice.
func checkRedirect(next *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Method != http.MethodGet || next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// readyUnlessFailed reads the status of providers that don't process files.
func readyUnlessFailed(word string) providers.Status {
	if word == "error" || word == "failed" {
		return providers.StatusFailed
	}
	return providers.StatusReady
}

// request makes a request with the credential. The caller has escaped the path.
func (c *Client) request(ctx context.Context, method, path string, query url.Values) (*http.Request, error) {
	return c.requestOf(ctx, Request{Method: method, URL: c.base + path, Query: query})
}
