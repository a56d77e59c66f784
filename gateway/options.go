package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/gateway/auth"
	"casgate/gateway/chatapi"
	"casgate/gateway/deleteapi"
	"casgate/gateway/operationapi"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/tokenapi"
	"casgate/providers/replicator"
)

// AccessIndex stores tokens and signing keys. The gateway needs it besides cas.Index,
// which the Store uses.
type AccessIndex interface {
	auth.Index
	tokenapi.Index
}

// JournalIndex is where the records of the journal are read.
type JournalIndex = operationapi.Journal

// ChatOptions configures the requests to models.
type ChatOptions = chatapi.Options

// ConsoleOptions configures the console.
type ConsoleOptions struct {
	// Off removes the console and its sessions.
	Off bool
	// Version is the version of the program, which the console shows.
	Version string
}

// Options configures a Gateway. Zero durations and numbers mean the defaults
// given.
type Options struct {
	Store *cas.Store
	// Files keeps the files; the caller calls its Run.
	Files  *cas.Files
	Access AccessIndex
	// Copies keeps copies at providers; the caller calls its Run and Close. Nil: this
	// gateway knows no provider.
	Copies *replicator.Replicator
	// Texts condemns the texts extracted from a blob that is deleted everywhere. Nil: they
	// stay.
	Texts deleteapi.Texts
	// Journal takes a record of every operation; the caller calls its Run. Nil: nothing
	// is recorded.
	Journal *journal.Writer
	// Records reads the journal. Nil: it looks empty.
	Records JournalIndex
	// CopyWait is how long a request waits for work on a copy if it names no time itself.
	// After that the answer is 202, and the work goes on. Default 25 s: many proxies wait 30 or 60 s.
	CopyWait time.Duration
	// Chat configures the requests to models.
	Chat ChatOptions
	// Console configures the console, the page for people.
	Console ConsoleOptions
	// MCPOff removes the tools for agents.
	MCPOff bool
	// TokenAPIOff removes the routes that manage tokens. A token can still be asked for itself.
	TokenAPIOff bool
	// PublicURL is what hash URLs are built from, without a slash at the end.
	PublicURL string
	// NoAuth allows every request everything. The caller must then listen on a loopback
	// address only.
	NoAuth bool
	// CORSOrigins are the origins of pages that may use the API from a browser, such as
	// https://app.example.com. Pages of other origins can only load signed URLs.
	CORSOrigins []string
	// PublicRead allows every request to GET and HEAD hash URLs.
	PublicRead bool
	// Redirect sends reads of large blobs to the object store.
	Redirect RedirectOptions
	Log      zerolog.Logger
	// SkipLog is the share of the requests that are not logged, from 0 to 1. Requests that fail
	// by a fault of the gateway, or break off, all are.
	SkipLog float64
	// Traces makes the spans of requests. Nil: there are none.
	Traces trace.TracerProvider
	// Registry gets the metrics. Optional.
	Registry *prometheus.Registry

	// TLS is the configuration of a server of HTTPS. Nil: the gateway speaks plain HTTP.
	TLS *tls.Config

	// MaxUploads bounds the uploads under way; further ones get 503. One token may have three quarters
	// of them; further ones of it get 429. Default 256.
	MaxUploads int
	// RequestsPerSecond bounds each token's requests, with bursts of twice as many;
	// further ones get 429. 0 means no bound.
	RequestsPerSecond float64
	// IsDiskLow reports whether a disk of the gateway is nearly full; GET /readyz says so.
	// Optional.
	IsDiskLow func() bool
	// Installation is the same at all gateways of an index, and at no others; GET /readyz
	// says it. Optional.
	Installation string
	// MinBodyRate is the least rate, in bytes per second, at which an upload must come in
	// over each BodyWindow. Default 1024 over 30 s. An upload that takes longer than ten
	// windows in all needs 16 times the rate for the rest.
	MinBodyRate int64
	BodyWindow  time.Duration
	// WriteStall is how long a client may take to read the next 256 KiB. Default 1 min.
	WriteStall time.Duration
	// HeaderTimeout bounds how long a request's headers may take (default 10 s), and
	// IdleTimeout how long a connection may wait for the next request (default 2 min).
	HeaderTimeout time.Duration
	IdleTimeout   time.Duration
	// ShutdownGrace is how long running transfers may go on after a stop. Default 30 s.
	ShutdownGrace time.Duration
}

// withDefaults checks the options and fills in their defaults.
func withDefaults(o Options) (Options, error) {
	u, err := url.Parse(o.PublicURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return o, fmt.Errorf("public URL %q is not a URL such as https://files.example.com (see CAS_PUBLIC_URL)", o.PublicURL)
	}
	if err := checkOrigins(o.CORSOrigins); err != nil {
		return o, err
	}
	o.PublicURL = strings.TrimRight(o.PublicURL, "/")
	o.CopyWait = cmp.Or(o.CopyWait, 25*time.Second)
	o.MaxUploads = cmp.Or(o.MaxUploads, 256)
	o.MinBodyRate = cmp.Or(o.MinBodyRate, 1024)
	o.BodyWindow = cmp.Or(o.BodyWindow, 30*time.Second)
	o.WriteStall = cmp.Or(o.WriteStall, time.Minute)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, 10*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 2*time.Minute)
	o.ShutdownGrace = cmp.Or(o.ShutdownGrace, 30*time.Second)
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Copies == nil {
		if o.Copies, err = replicator.New(replicator.Options{Blobs: o.Store, Ledger: emptyLedger{}}); err != nil {
			return o, err
		}
	}
	if o.Texts == nil {
		o.Texts = noTexts{}
	}
	if o.Records == nil {
		o.Records = emptyJournal{}
	}
	return o, nil
}

func (o Options) bodyRate() request.MinRate {
	return request.MinRate{BytesPerSecond: o.MinBodyRate, Window: o.BodyWindow}
}

// RedirectOptions say which reads of blobs are answered with a URL of the object store.
type RedirectOptions struct {
	// Above is the size of the largest blob, in bytes, that the gateway serves itself.
	Above int64
	// URL returns a URL that reads an object for a time; the store sends these fields with
	// it. Nil: the gateway serves all blobs itself.
	URL func(ctx context.Context, ref cas.ObjectRef, life time.Duration, shown http.Header) (string, error)
}

func (o Options) redirect() *respond.Redirect {
	if o.Redirect.URL == nil {
		return nil
	}
	return &respond.Redirect{Above: o.Redirect.Above, URL: o.Redirect.URL, Used: o.Store.MarkUsed}
}
