package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/cmd/cas/internal/build"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/service"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/wiring"
	"casgate/gateway"
	"casgate/index"
	"casgate/providers/replicator"
)

// serveCmd runs the gateway.
type serveCmd struct {
	settings.Data
	settings.Index
	settings.ObjectStore
	settings.Journal
	settings.Sources
	settings.Providers

	Listen       string `name:"listen" env:"CAS_LISTEN" default:"127.0.0.1:8080" help:"Address of the API. Port 0 picks a free port; the file listen in the data folder has it." placeholder:"HOST:PORT"`
	AdminListen  string `name:"admin-listen" env:"CAS_ADMIN_LISTEN" default:"127.0.0.1:8081" help:"Address of metrics and pprof. Empty turns them off." placeholder:"HOST:PORT"`
	PublicURL    string `name:"public-url" env:"CAS_PUBLIC_URL" help:"Base of hash URLs; the listen address if empty." placeholder:"URL"`
	CreateBucket bool   `name:"create-bucket" help:"Create the bucket if it is missing."`

	Auth       string `name:"auth" env:"CAS_AUTH" default:"tokens" enum:"tokens,none" help:"tokens, or none, which is allowed only on a loopback address."`
	PublicRead bool   `name:"public-read" env:"CAS_PUBLIC_READ" help:"Allow GET and HEAD of hash URLs without a token."`

	MaxBlobSize settings.ByteSize `name:"max-blob-size" env:"CAS_MAX_BLOB_SIZE" default:"5GiB" help:"Size of the largest blob; at most 5GiB." placeholder:"SIZE"`
	MaxUploads  int               `name:"max-uploads" env:"CAS_MAX_UPLOADS" default:"256" help:"Uploads at the same time; further ones get 503."`
	RateLimit   float64           `name:"rate-limit" env:"CAS_RATE_LIMIT" default:"0" help:"Requests per second for each token; further ones get 429. 0: no limit."`
	SpoolLimit  settings.ByteSize `name:"spool-limit" env:"CAS_SPOOL_LIMIT" default:"0" help:"Bytes of uploads on disk at the same time. 0: no limit but the disk." placeholder:"SIZE"`
	MinBodyRate settings.ByteSize `name:"min-body-rate" env:"CAS_MIN_BODY_RATE" default:"1KiB" help:"Uploads with fewer bytes per second are cut off." placeholder:"SIZE"`
	BodyWindow  time.Duration     `name:"body-window" env:"CAS_BODY_WINDOW" default:"30s" help:"Time over which the rate of an upload is measured."`
	IdleTimeout time.Duration     `name:"idle-timeout" env:"CAS_IDLE_TIMEOUT" default:"2m" help:"How long a connection may wait for its next request."`
	Grace       time.Duration     `name:"shutdown-grace" env:"CAS_SHUTDOWN_GRACE" default:"30s" help:"How long running transfers may continue after a signal to stop."`

	HotBytes    settings.ByteSize `name:"hot-bytes" env:"CAS_HOT_BYTES" default:"256MiB" help:"Memory for small blobs that are read often. 0: none." placeholder:"SIZE"`
	HotBlobSize settings.ByteSize `name:"hot-blob-size" env:"CAS_HOT_BLOB_SIZE" default:"256KiB" help:"Largest blob kept in memory." placeholder:"SIZE"`
	VerifiedFor time.Duration     `name:"verified-for" env:"CAS_VERIFIED_FOR" default:"1h" help:"How long a verified object is read without verifying it again. 0: verify every full read."`

	LogLevel  string `name:"log-level" env:"CAS_LOG_LEVEL" default:"info" enum:"trace,debug,info,warn,error" help:"trace, debug, info, warn or error."`
	LogFormat string `name:"log-format" env:"CAS_LOG_FORMAT" default:"" enum:",console,json" help:"console or json; console on a terminal, else json."`
}

// hooks are set by tests only: they kill the process at a step of making a copy, and
// shorten the wait until another process takes the work over.
var hooks struct {
	onStep              func(replicator.Step)
	lease, pollInterval time.Duration
}

// startTimeout bounds all requests to servers before the gateway serves.
const startTimeout = 30 * time.Second

// Run starts the gateway and serves until ctx is done.
func (c *serveCmd) Run(ctx context.Context, std terminal.Streams) error {
	log, flushLog := service.NewLogger(c.LogLevel, c.LogFormat, std)
	defer flushLog()
	start, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	if err := c.Data.CreateFolder(); err != nil {
		return err
	}
	if c.Index.Embedded() {
		unlock, err := wiring.LockData(c.Data)
		if err != nil {
			return err
		}
		defer unlock()
	}
	x, err := wiring.OpenCurrentIndex(start, c.Index, c.Data, log)
	if err != nil {
		return err
	}
	defer x.Close()
	registry := service.NewRegistry()
	// The journal ends after everything that adds records.
	records, stopJournal := wiring.OpenJournal(c.Journal, x, registry, log)
	defer stopJournal()
	objects, err := c.openStore(start, log)
	if err != nil {
		return err
	}
	defer objects.Close()
	if err := c.prepareAccess(start, x, records, log); err != nil {
		return err
	}

	if c.ReferenceURLs == "bucket" && objects.S3 == nil {
		return exit.Usagef("--reference-urls=bucket needs a bucket; set CAS_S3_ENDPOINT, or leave the URLs to the gateway")
	}

	cached, err := index.NewCached(x, index.CacheOptions{Shared: !c.Index.Embedded()})
	if err != nil {
		return err
	}
	defer cached.Close()
	registerCacheMetrics(registry, cached)
	store, err := c.newStore(objects, cached, log)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	defer store.Close()
	sources, err := wiring.OpenSources(c.Sources)
	if err != nil {
		return err
	}
	defer sources.Close()
	ln, err := service.Listen(c.Listen, "CAS_LISTEN")
	if err != nil {
		return err
	}
	defer ln.Close()
	if c.Auth == "none" && !service.IsLoopback(ln.Addr()) {
		return exit.Usagef("--auth=none is allowed only on a loopback address, and %s is not one", ln.Addr())
	}
	publicURL := c.PublicURL
	if publicURL == "" {
		publicURL = service.URLOf(ln.Addr())
	}
	ledger, err := index.NewCachedLedger(x, index.LedgerOptions{CacheOptions: index.CacheOptions{Shared: !c.Index.Embedded()}})
	if err != nil {
		return err
	}
	defer ledger.Close()
	var g *gateway.Gateway
	copies, err := wiring.OpenCopies(c.Providers, replicator.Options{
		Blobs: store, Ledger: ledger, Log: log,
		SignURL: func(ctx context.Context, d cas.Digest, life time.Duration) (string, error) {
			if c.ReferenceURLs == "bucket" {
				return presigned(ctx, store, objects, d, life)
			}
			return g.SignURL(ctx, d, life)
		},
		OnEvent: func(e replicator.Event) { g.CopyEvent(e) },
		OnStep:  hooks.onStep, Lease: hooks.lease, PollInterval: hooks.pollInterval,
	}, registry)
	if err != nil {
		return err
	}
	defer copies.Close()
	if copies.Simulated() && !service.IsLoopback(ln.Addr()) {
		return wiring.ErrSimulateElsewhere
	}
	imported := &wiring.ImportedCopies{Copies: copies, Log: log}
	files := cas.NewFiles(cas.FilesOptions{
		Store: store, Index: x, Sources: sources.List(), Adopt: imported.Enter, Log: log,
		TookIn:  func(f cas.File, began time.Time, err error) { g.FileTakenIn(f, began, err) },
		Expired: func(f cas.File) { g.FileExpired(f) },
	})
	g, err = gateway.New(gateway.Options{
		Store: store, Files: files, Access: x, Copies: copies.Replicator, Journal: records, Records: x, CopyWait: c.CopyWait, PublicURL: publicURL,
		NoAuth: c.Auth == "none", PublicRead: c.PublicRead,
		Log: log, Registry: registry,
		MaxUploads: c.MaxUploads, RequestsPerSecond: c.RateLimit,
		MinBodyRate: int64(c.MinBodyRate), BodyWindow: c.BodyWindow,
		IdleTimeout: c.IdleTimeout, ShutdownGrace: c.Grace,
	})
	if err != nil {
		return exit.Usagef("%w (see CAS_PUBLIC_URL)", err)
	}

	var admin net.Listener
	if c.AdminListen != "" {
		if admin, err = service.Listen(c.AdminListen, "CAS_ADMIN_LISTEN (empty turns it off)"); err != nil {
			return err
		}
		defer admin.Close()
	}

	services, ctx := errgroup.WithContext(ctx)
	changes := index.FanOut(cached.Listener(), ledger.Listener(), copies.Listener())
	services.Go(func() error { return service.UntilDone(ctx, wiring.Listen(ctx, x, changes)) })
	copies.Start(ctx, services.Go)
	services.Go(func() error { return service.UntilDone(ctx, files.Run(ctx)) })
	if admin != nil {
		services.Go(func() error { return service.ServeAdmin(ctx, admin, registry) })
	}
	services.Go(func() error { return g.Serve(ctx, ln) })

	if err := os.WriteFile(c.Path(settings.ListenFile), []byte(ln.Addr().String()+"\n"), 0o644); err != nil {
		return fmt.Errorf("write the listen address: %w", err)
	}
	defer os.Remove(c.Path(settings.ListenFile))
	log.Info().Str("version", build.Version()).Str("url", publicURL).Str("listen", ln.Addr().String()).
		Str("index", c.Index.Describe(c.Data)).Str("store", objects.Text).
		Str("providers", copies.Names()).Bool("simulated", copies.Simulated()).
		Str("auth", c.Auth).Bool("public_read", c.PublicRead).Msg("serving")
	if err := services.Wait(); err != nil {
		return err
	}
	log.Info().Msg("stopped")
	return nil
}

// openStore opens the object store and makes sure that it answers.
func (c *serveCmd) openStore(ctx context.Context, log zerolog.Logger) (wiring.ObjectStore, error) {
	objects, err := wiring.OpenObjectStore(c.ObjectStore, c.Data)
	if err != nil {
		return objects, err
	}
	if objects.S3 != nil {
		err = c.probeBucket(ctx, objects, log)
	} else {
		// Without the lock other gateways may be writing; no write takes a day.
		age := 24 * time.Hour
		if c.Index.Embedded() {
			age = 0
		}
		err = objects.Folder.Clean(age)
	}
	if err != nil {
		objects.Close()
	}
	return objects, err
}

func (c *serveCmd) probeBucket(ctx context.Context, objects wiring.ObjectStore, log zerolog.Logger) error {
	if c.CreateBucket {
		if err := objects.S3.CreateBucket(ctx); err != nil {
			return err
		}
	}
	if err := objects.Check(ctx); err != nil {
		return fmt.Errorf("%w; check CAS_S3_ENDPOINT, CAS_S3_BUCKET and the keys, or let --create-bucket make the bucket", err)
	}
	enforced, err := objects.S3.EnforcesChecksums(ctx)
	if err != nil {
		return err
	}
	if enforced {
		log.Info().Str("store", objects.Text).Msg("the object store enforces checksums")
	} else {
		log.Warn().Str("store", objects.Text).Msg("the object store ignores checksums; the gateway's own verification alone protects uploads")
	}
	return nil
}

// prepareAccess makes the first token of an embedded gateway. For a gateway with Postgres
// it only logs how to make one.
func (c *serveCmd) prepareAccess(ctx context.Context, x wiring.Index, records *journal.Writer, log zerolog.Logger) error {
	if c.Auth == "none" {
		log.Warn().Msg("authentication is off: every client that reaches this address may do everything")
		return nil
	}
	if c.Index.Embedded() {
		return wiring.EnsureAdminToken(ctx, x, records, c.Data, log)
	}
	tokens, err := x.Tokens(ctx)
	if err == nil && len(tokens) == 0 {
		log.Warn().Msg("there are no tokens yet; make one with `cas token create --name NAME --scopes admin`")
	}
	return err
}

func (c *serveCmd) newStore(objects cas.ObjectStore, x cas.Index, log zerolog.Logger) (*cas.Store, error) {
	if err := os.MkdirAll(c.Path(settings.SpoolDir), 0o700); err != nil {
		return nil, err
	}
	if c.MaxBlobSize < 1 {
		return nil, errors.New("CAS_MAX_BLOB_SIZE must be at least 1")
	}
	hotBlobSize := int64(c.HotBlobSize)
	if c.HotBytes == 0 || hotBlobSize == 0 {
		hotBlobSize = -1
	}
	return cas.NewStore(objects, x, cas.Options{
		SpoolDir:    c.Path(settings.SpoolDir),
		SpoolLimit:  int64(c.SpoolLimit),
		MaxBlobSize: int64(c.MaxBlobSize),
		HotBlobSize: hotBlobSize,
		HotBytes:    int64(c.HotBytes),
		VerifiedFor: c.VerifiedFor,
		Log:         log,
	})
}

// presigned returns a URL that reads a blob from the bucket itself.
func presigned(ctx context.Context, store *cas.Store, objects wiring.ObjectStore, d cas.Digest, life time.Duration) (string, error) {
	b, err := store.Blob(ctx, d)
	if err != nil {
		return "", err
	}
	return objects.S3.PresignGet(ctx, b.Object(), b.MediaType, life)
}

func registerCacheMetrics(registry *prometheus.Registry, cached *index.Cached) {
	registry.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "casgate_index_cache_hits_total",
			Help: "Look-ups of blobs answered without the index.",
		}, func() float64 { return float64(cached.Hits()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "casgate_index_cache_misses_total",
			Help: "Look-ups of blobs that went to the index.",
		}, func() float64 { return float64(cached.Misses()) }),
	)
}
