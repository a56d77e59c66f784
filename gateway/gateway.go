// Package gateway serves a cas.Store, cas.Files and a providers.Replicator over
// HTTP: blobs by hash URL, files in the shape of OpenAI's API, copies at providers,
// access by token or signed URL, errors as RFC 9457 problems, below /v1/files as
// that API's. It is the only package that knows Echo.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/providers"
)

// AccessIndex stores tokens and signing keys. It is what the gateway needs of an
// index besides cas.Index, which the Store asks.
type AccessIndex interface {
	// Token returns the token of this id, or access.ErrTokenNotFound.
	Token(ctx context.Context, id string) (access.Token, error)
	// UseTokens records when tokens, by id, were last used.
	UseTokens(ctx context.Context, used map[string]time.Time) error
	// SigningKeys returns the keys not retired, newest first.
	SigningKeys(ctx context.Context) ([]access.SigningKey, error)
	// AddSigningKey stores a new key.
	AddSigningKey(ctx context.Context, key access.SigningKey) error
}

// Options configures a Gateway. Zero durations and numbers mean the defaults
// given.
type Options struct {
	Store *cas.Store
	// Files keeps the files; its Run is the caller's to call.
	Files  *cas.Files
	Access AccessIndex
	// Copies keeps copies at providers; its Run and Close are the caller's to call.
	// Nil: this gateway knows no provider.
	Copies *providers.Replicator
	// Journal takes a record of every operation; its Run is the caller's to call. Nil:
	// nothing is recorded.
	Journal *journal.Writer
	// Records are what the journal has kept. Nil: nobody can look at them.
	Records JournalIndex
	// CopyWait is how long a request waits for work on a copy, where it names no time
	// itself; the work then goes on, and the answer is 202. Default 1 min.
	CopyWait time.Duration
	// PublicURL is what hash URLs are built from, without a slash at the end.
	PublicURL string
	// NoAuth lets everybody do everything; for loopback addresses only, which is the
	// caller's to see to.
	NoAuth bool
	// PublicRead lets everybody GET and HEAD hash URLs.
	PublicRead bool
	Log        zerolog.Logger
	// Registry gets the metrics; nil makes one that nobody reads.
	Registry *prometheus.Registry

	// MaxUploads bounds the uploads under way; more are answered 503. Default 256.
	MaxUploads int
	// RequestsPerSecond bounds each token's requests, with bursts of twice as many;
	// more are answered 429. 0 means no bound.
	RequestsPerSecond float64
	// MinBodyRate is how fast, in bytes a second, an upload must come in, over each
	// BodyWindow. Default 1024 over 30 s.
	MinBodyRate int64
	BodyWindow  time.Duration
	// WriteStall is how long a client may take to read the next 256 KiB. Default 1 min.
	WriteStall time.Duration
	// HeaderTimeout bounds how long a request's headers may take (default 10 s), and
	// IdleTimeout how long a connection may wait for the next request (default 2 min).
	HeaderTimeout time.Duration
	IdleTimeout   time.Duration
	// ShutdownGrace is how long running transfers may go on after a stop was asked
	// for. Default 30 s.
	ShutdownGrace time.Duration
}

// Gateway answers the HTTP API.
type Gateway struct {
	o       Options
	echo    *echo.Echo
	server  *http.Server
	store   *cas.Store
	files   *cas.Files
	copies  *providers.Replicator
	caching string // the Cache-Control of blobs
	tokens  *tokenCache
	keys    *keyRing
	uploads chan struct{} // a place for each upload under way
	rates   *rateLimits
	metrics *metrics
	log     zerolog.Logger

	stopping context.Context // done when the gateway is to stop
	stop     context.CancelFunc
}

// New puts a gateway together.
func New(o Options) (*Gateway, error) {
	u, err := url.Parse(o.PublicURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("public URL %q is not a URL such as https://files.example.com", o.PublicURL)
	}
	o.PublicURL = strings.TrimRight(o.PublicURL, "/")
	o.CopyWait = cmp.Or(o.CopyWait, time.Minute)
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
		if o.Copies, err = providers.NewReplicator(providers.Options{Blobs: o.Store, Ledger: noCopies{}}); err != nil {
			return nil, err
		}
	}
	if o.Records == nil {
		o.Records = noRecords{}
	}
	g := &Gateway{
		o:       o,
		echo:    echo.New(),
		store:   o.Store,
		files:   o.Files,
		copies:  o.Copies,
		caching: "private, max-age=31536000, immutable",
		tokens:  newTokenCache(o.Access, o.Log),
		uploads: make(chan struct{}, o.MaxUploads),
		rates:   newRateLimits(o.RequestsPerSecond),
		log:     o.Log,
	}
	g.keys = newKeyRing(o.Access, g.keyMade)
	if o.PublicRead {
		g.caching = "public, max-age=31536000, immutable"
	}
	g.stopping, g.stop = context.WithCancel(context.Background())
	g.metrics = newMetrics(o.Registry, g)
	g.echo.HTTPErrorHandler = g.handleError
	g.echo.IPExtractor = echo.ExtractIPDirect()
	g.echo.Logger.SetOutput(io.Discard) // everything worth saying goes to our own log
	g.echo.Pre(g.observe)
	g.routes()
	g.server = &http.Server{
		Handler:           g.echo,
		ReadHeaderTimeout: o.HeaderTimeout,
		IdleTimeout:       o.IdleTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          serverLog(o.Log),
		ConnContext:       withConn,
	}
	return g, nil
}

// routes is the API, whole.
func (g *Gateway) routes() {
	e := g.echo
	e.GET("/healthz", g.healthz)
	e.GET("/readyz", g.readyz)
	e.GET("/openapi.yaml", g.openAPI)

	e.POST("/v1/blobs", g.allowAll(writeScopes, g.limitUploads(g.postBlob)))
	e.GET("/v1/blobs", g.allow(access.ScopeRead, g.listBlobs))
	e.POST("/v1/blobs/find-missing", g.allow(access.ScopeRead, g.findMissing))
	e.PUT("/v1/blobs/:digest", g.allowAll(writeScopes, g.limitUploads(g.putBlob)))
	e.GET("/v1/blobs/:digest", g.allowHashURL(g.getBlob))
	e.HEAD("/v1/blobs/:digest", g.allowHashURL(g.getBlob))
	e.DELETE("/v1/blobs/:digest", g.allowAll(deleteScopes, g.deleteBlob))
	e.GET("/v1/blobs/:digest/meta", g.allow(access.ScopeRead, g.blobMeta))
	e.POST("/v1/blobs/:digest/url", g.allow(access.ScopeRead, g.postURL))

	e.GET("/v1/blobs/:digest/copies", g.allow(access.ScopeRead, g.listCopies))
	e.PUT("/v1/blobs/:digest/copies/:provider", g.allow(access.ScopeSync, g.putCopy))
	e.GET("/v1/blobs/:digest/copies/:provider", g.allow(access.ScopeRead, g.getCopy))
	e.DELETE("/v1/blobs/:digest/copies/:provider", g.allowAll(removeScopes, g.deleteCopies))
	e.GET("/v1/blobs/:digest/copies/:provider/content", g.allow(access.ScopeRead, g.getCopyContent))
	e.POST("/v1/blobs/:digest/copies/:provider/lost", g.allow(access.ScopeSync, g.postLost))
	e.GET("/v1/blobs/:digest/references/:provider", g.allow(access.ScopeSync, g.getReference))
	e.GET("/v1/blobs/:digest/text", g.allow(access.ScopeSync, g.getText))
	e.HEAD("/v1/blobs/:digest/text", g.allow(access.ScopeSync, g.getText))

	e.POST(filesPath, g.allowAll(writeScopes, g.limitUploads(g.postFile)))
	e.GET(filesPath, g.allow(access.ScopeRead, g.listFiles))
	e.GET("/v1/files/:file", g.allow(access.ScopeRead, g.getFile))
	e.DELETE("/v1/files/:file", g.allowAll(deleteScopes, g.deleteFile))
	e.GET("/v1/files/:file/content", g.allow(access.ScopeRead, g.getFileContent))
	e.HEAD("/v1/files/:file/content", g.allow(access.ScopeRead, g.getFileContent))
	e.GET("/v1/files/:file/copies", g.allow(access.ScopeRead, g.listCopies))
	e.PUT("/v1/files/:file/copies/:provider", g.allow(access.ScopeSync, g.putCopy))
	e.GET("/v1/files/:file/copies/:provider", g.allow(access.ScopeRead, g.getCopy))
	e.DELETE("/v1/files/:file/copies/:provider", g.allowAll(removeScopes, g.deleteCopies))
	e.GET("/v1/files/:file/copies/:provider/content", g.allow(access.ScopeRead, g.getCopyContent))
	e.POST("/v1/files/:file/copies/:provider/lost", g.allow(access.ScopeSync, g.postLost))
	e.GET("/v1/files/:file/references/:provider", g.allow(access.ScopeSync, g.getReference))
	e.GET("/v1/files/:file/text", g.allow(access.ScopeSync, g.getText))
	e.HEAD("/v1/files/:file/text", g.allow(access.ScopeSync, g.getText))

	e.GET("/v1/providers", g.allow(access.ScopeRead, g.listProviders))
	e.GET("/v1/providers/:provider", g.allow(access.ScopeRead, g.getProvider))
	e.POST("/v1/providers/:provider/reconcile", g.allowAll(reconcileScopes, g.reconcile))
	e.GET("/v1/operations", g.allow(access.ScopeRead, g.listOperations))
	e.GET("/v1/operations/:id", g.allow(access.ScopeRead, g.getOperation))
}

// ServeHTTP answers one request. Served this way the gateway's time-outs for
// headers, idle connections and stalled readers are the caller's to set.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.echo.ServeHTTP(w, r) }

// Serve answers requests on the listener until ctx is done. It then takes no new
// ones, lets those under way finish for up to ShutdownGrace, cuts off the rest,
// and returns nil.
func (g *Gateway) Serve(ctx context.Context, ln net.Listener) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		g.tokens.flushLoop(background)
	}()
	defer func() { stop(); <-flushed }()

	failed := make(chan error, 1)
	go func() { failed <- g.server.Serve(stallListener{ln, g.o.WriteStall}) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	g.stop() // those who wait for copies get their answer
	g.log.Info().Dur("grace", g.o.ShutdownGrace).Msg("stopping; transfers under way may finish")
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.o.ShutdownGrace)
	defer cancel()
	err := g.server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		g.log.Warn().Int("uploads", len(g.uploads)).Msg("the grace period is over; cutting off the transfers left")
		err = g.server.Close()
	}
	if err != nil {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}

// hashURL returns the URL a blob is read at.
func (g *Gateway) hashURL(d cas.Digest) string { return g.o.PublicURL + blobPath(d) }

func blobPath(d cas.Digest) string { return "/v1/blobs/" + d.String() }

// digestParam reads the digest in the path. A client may have percent-encoded
// its colon.
func digestParam(c echo.Context) (cas.Digest, error) {
	text := c.Param("digest")
	if strings.Contains(text, "%") {
		decoded, err := url.PathUnescape(text)
		if err != nil {
			return cas.Digest{}, fmt.Errorf("%w: the path is not valid percent-encoding", cas.ErrInvalidDigest)
		}
		text = decoded
	}
	return cas.ParseDigest(text)
}
