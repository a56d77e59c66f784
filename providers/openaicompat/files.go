package openaicompat

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
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

// API is what an adapter knows of a provider's file API, and Files needs to use
// it.
type API struct {
	// Name and BaseURL are used where the Settings have none.
	Name    string
	BaseURL string

	Purposes []providers.Purpose
	// MaxFiles, MaxBytes, Concurrency and PerMinute are as in providers.Description.
	MaxFiles    int64
	MaxBytes    int64
	Concurrency int
	PerMinute   int

	// FieldsAfterFile puts a form's other fields after the file, for providers that
	// want it so. Usually they come before it: a provider that streams must know the
	// purpose before the first byte.
	FieldsAfterFile bool
	// Fields are sent with each upload beside purpose and file.
	Fields map[string]string

	// IgnoresPurpose: purposes in answers mean nothing, and all files are of the one
	// purpose there is.
	IgnoresPurpose bool
	Listing        Listing
	// Status reads a provider's word for how far it is with a file, which is empty
	// where the provider says none. Nil means that only "error" and "failed" are
	// anything but ready.
	Status func(word string) providers.Status
	// Authorize puts the credential on a request; nil means the key as a bearer token.
	Authorize func(*http.Request)
	// Judge refines an error made from an answer, by the provider's own table: Kind,
	// Code, RetryAfter, TooMany and Hint. It may be nil.
	Judge func(*providers.Error, Problem)
	// Secrets are what must not be told, beside the key; Private matches more of it.
	Secrets []string
	Private *regexp.Regexp // may be nil
}

// Files is an account's file store behind an HTTP API in the shape of OpenAI's: the
// part that adapters share. They embed it for Describe, Upload, Delete and List,
// and offer Lookup and Content as the abilities that their provider has.
type Files struct {
	api         API
	description providers.Description
	base        string // without a slash at the end
	http        *http.Client
	redactor    redactor
}

const (
	userAgent = "casgate"
	// answerTimeout bounds a call with a small answer, and in a longer answer the time
	// without a byte.
	answerTimeout = 30 * time.Second
	// An upload may take uploadTimeout, and longer as its size asks for at
	// uploadRate, in bytes a second.
	uploadTimeout = 5 * time.Minute
	uploadRate    = 64 << 10
	maxRedirects  = 5
)

// NewFiles returns the file store of an account. It checks the settings, and sends
// nothing.
func NewFiles(api API, s providers.Settings) (*Files, error) {
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
	if api.Authorize == nil {
		bearer := "Bearer " + s.APIKey
		api.Authorize = func(r *http.Request) { r.Header.Set("Authorization", bearer) }
	}
	if api.Status == nil {
		api.Status = readyUnlessFailed
	}
	transport := s.Transport
	if transport == nil {
		transport = newTransport()
	}
	host := strings.TrimSuffix(strings.ToLower(base.Host), ":443")
	account := providers.Account(name, host, s.APIKey)
	if s.Simulated {
		account = "simulated-" + account
	}
	return &Files{
		api: api,
		description: providers.Description{
			Provider: name, Account: account, Host: host, Simulated: s.Simulated,
			Purposes: api.Purposes, MaxFiles: api.MaxFiles, MaxBytes: api.MaxBytes,
			Concurrency: api.Concurrency, PerMinute: api.PerMinute,
		},
		base:     base.Scheme + "://" + base.Host + strings.TrimRight(base.EscapedPath(), "/"),
		http:     &http.Client{Transport: transport, CheckRedirect: checkRedirect},
		redactor: newRedactor(append(slices.Clone(api.Secrets), s.APIKey), api.Private),
	}, nil
}

// Describe implements providers.Provider.
func (f *Files) Describe() providers.Description { return f.description }

// purpose returns the purpose of this name; a zero one where there is none.
func (f *Files) purpose(name string) providers.Purpose {
	for _, p := range f.description.Purposes {
		if p.Name == name {
			return p
		}
	}
	return providers.Purpose{}
}

// parseBase checks a base URL. Its errors go on after the words "the base URL".
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

// variable returns the name of an environment variable about a provider.
func variable(provider, what string) string {
	return "CAS_" + strings.ToUpper(strings.ReplaceAll(provider, "-", "_")) + "_" + what
}

// newTransport speaks HTTP/1.1 only: there a broken connection breaks one call,
// and large bodies don't wait for windows of flow control. Connections are kept for
// a shorter time than servers keep theirs, since an upload on one that the server
// has just closed has an unknown outcome.
func newTransport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		Protocols:             protocols,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       30 * time.Second,
		ExpectContinueTimeout: time.Second,
		WriteBufferSize:       64 << 10,
	}
}

// checkRedirect follows only what is asked for again at the same place: the key
// must not go anywhere else, and an upload can't be sent twice.
func checkRedirect(next *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Method != http.MethodGet || next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// readyUnlessFailed is for providers that are done with a file once they have it.
func readyUnlessFailed(word string) providers.Status {
	if word == "error" || word == "failed" {
		return providers.StatusFailed
	}
	return providers.StatusReady
}

// request makes a request with the credential on it. The path is escaped.
func (f *Files) request(ctx context.Context, method, path string, query url.Values) (*http.Request, error) {
	target := f.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return nil, fmt.Errorf("making a request to %s: %w", f.description.Host, err)
	}
	r.Header.Set("User-Agent", userAgent)
	r.Header.Set("Accept", "application/json")
	f.api.Authorize(r)
	return r, nil
}
