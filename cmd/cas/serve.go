package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/collector"
	"casgate/cas/journal"
	"casgate/cas/scrubber"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/service"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/wiring"
	"casgate/index"
	"casgate/providers/replicator"
)

// serveCmd runs the gateway.
type serveCmd struct {
	settings.Data
	settings.Index
	settings.ObjectStore
	settings.LocalTier
	settings.Journal
	settings.Collection
	settings.Retention
	settings.BackgroundScrub
	settings.Sources
	settings.Providers
	settings.Chat
	settings.Traces

	Listen       string `name:"listen" env:"CAS_LISTEN" default:"127.0.0.1:8080" help:"Address of the API; unix:/run/casgate/api.sock is a Unix socket, to which the gateway's user and group may connect. Port 0 picks a free port; the file listen in the data folder has it." placeholder:"HOST:PORT"`
	AdminListen  string `name:"admin-listen" env:"CAS_ADMIN_LISTEN" default:"127.0.0.1:8081" help:"Address of metrics and pprof; empty turns them off. On a loopback address, requests must name localhost or an IP address as their host." placeholder:"HOST:PORT"`
	TLSCertFile  string `name:"tls-cert-file" env:"CAS_TLS_CERT_FILE" help:"PEM file with the certificate, and those between it and the root, for HTTPS at the address of the API. It is read again when it changes. Empty: plain HTTP." placeholder:"PATH"`
	TLSKeyFile   string `name:"tls-key-file" env:"CAS_TLS_KEY_FILE" help:"PEM file with the certificate's key." placeholder:"PATH"`
	PublicURL    string `name:"public-url" env:"CAS_PUBLIC_URL" help:"Base of hash URLs; the listen address if empty. Set it behind a proxy, or if the address is 0.0.0.0." placeholder:"URL"`
	AdoptStore   bool   `name:"adopt-store" help:"Use the object store even if it has the mark of another index, or lacks the index's blobs, and mark it as this index's."`
	CreateBucket bool   `name:"create-bucket" help:"Create the bucket if it is missing."`

	Auth        string          `name:"auth" env:"CAS_AUTH" default:"tokens" enum:"tokens,none" help:"tokens, or none, which is allowed only on a loopback address: requests must then name localhost, an IP address or the host of CAS_PUBLIC_URL, and writes for pages of other origins get 403."`
	CORSOrigins []string        `name:"cors-origins" env:"CAS_CORS_ORIGINS" help:"Comma-separated origins of web pages that may use the API from a browser, such as https://app.example.com. Pages of other origins can only load signed URLs." placeholder:"ORIGIN"`
	PublicRead  bool            `name:"public-read" env:"CAS_PUBLIC_READ" negatable:"" help:"Allow GET and HEAD of hash URLs without a token."`
	Console     settings.Switch `name:"console" env:"CAS_CONSOLE" default:"on" enum:"on,off" help:"off removes the console for browsers, /console/, and its sessions."`

	TokenAPI settings.Switch `name:"token-api" env:"CAS_TOKEN_API" default:"on" enum:"on,off" help:"off removes /v1/tokens, except /v1/tokens/self: then only the command \"cas token\" manages tokens."`
	MCP      settings.Switch `name:"mcp" env:"CAS_MCP" default:"on" enum:"on,off" help:"off removes /mcp, the tools for agents."`

	MaxBlobSize settings.ByteSize `name:"max-blob-size" env:"CAS_MAX_BLOB_SIZE" default:"5GiB" help:"Size of the largest blob; at most 5GiB." placeholder:"SIZE"`
	MaxUploads  int               `name:"max-uploads" env:"CAS_MAX_UPLOADS" default:"256" help:"Uploads at the same time; further ones get 503. One token may have three quarters of them."`
	RateLimit   float64           `name:"rate-limit" env:"CAS_RATE_LIMIT" default:"0" help:"Requests per second for each token; further ones get 429. 0: no limit."`
	SpoolLimit  settings.ByteSize `name:"spool-limit" env:"CAS_SPOOL_LIMIT" default:"0" help:"Bytes of uploads on disk at the same time. 0: no limit but the disk." placeholder:"SIZE"`
	DiskLow     settings.ByteSize `name:"disk-low" env:"CAS_DISK_LOW" default:"1GiB" help:"Free bytes on a disk of the data folder below which /readyz, the metrics and the log say that it is nearly full. 0: never." placeholder:"SIZE"`
	MinBodyRate settings.ByteSize `name:"min-body-rate" env:"CAS_MIN_BODY_RATE" default:"1KiB" help:"Uploads with fewer bytes per second are cut off, and after ten windows those with less than 16 times as many." placeholder:"SIZE"`
	BodyWindow  time.Duration     `name:"body-window" env:"CAS_BODY_WINDOW" default:"30s" help:"Time over which the rate of an upload is measured."`
	IdleTimeout time.Duration     `name:"idle-timeout" env:"CAS_IDLE_TIMEOUT" default:"2m" help:"How long a connection may wait for its next request."`
	Grace       time.Duration     `name:"shutdown-grace" env:"CAS_SHUTDOWN_GRACE" default:"30s" help:"How long running transfers may continue after a signal to stop."`

	DrainDelay time.Duration `name:"drain-delay" env:"CAS_DRAIN_DELAY" default:"0s" help:"How long the gateway goes on as before after a signal to stop, with /readyz at 503, so that load balancers send it no more requests."`

	GCInterval time.Duration `name:"gc-interval" env:"CAS_GC_INTERVAL" default:"1m" help:"How often the gateway removes the bytes of deleted blobs. 0: never."`

	OrphansEvery time.Duration `name:"orphans-every" env:"CAS_ORPHANS_EVERY" default:"24h" help:"How often the gateway lists the object store for objects that have no row for a day, and makes their rows. 0: never."`

	HotBytes     settings.ByteSize `name:"hot-bytes" env:"CAS_HOT_BYTES" default:"256MiB" help:"Resident memory for small blobs that are read often: about twice their bytes. 0: none, and ranges of small blobs are not verified either." placeholder:"SIZE"`
	HotBlobSize  settings.ByteSize `name:"hot-blob-size" env:"CAS_HOT_BLOB_SIZE" default:"256KiB" help:"Largest blob kept in memory. Ranges of it are verified; those of larger ones are not. 0: none is kept." placeholder:"SIZE"`
	ReadRedirect settings.ByteSize `name:"read-redirect" env:"CAS_READ_REDIRECT" default:"0" help:"Answer GET of hash URLs of larger blobs with 307 and a URL of the bucket, which clients must reach and follow. The gateway then doesn't verify the bytes. 0: never." placeholder:"SIZE"`

	VerifiedFor time.Duration `name:"verified-for" env:"CAS_VERIFIED_FOR" default:"1h" help:"How long full reads of a verified object compare a fast fingerprint (XXH3) in place of SHA-256. 0: every full read computes SHA-256."`
	SeenFor     time.Duration `name:"seen-for" env:"CAS_SEEN_FOR" default:"1h" help:"How long an object that was written, read or looked at counts as present. After that, an upload of its bytes looks again. 0: look at every upload."`

	ReadWithoutIndex bool `name:"read-without-index" env:"CAS_READ_WITHOUT_INDEX" negatable:"" help:"While the index is down, read blobs by their objects alone. Deleted blobs can then be read until their bytes are removed."`

	LogLevel  string             `name:"log-level" env:"CAS_LOG_LEVEL" default:"info" enum:"trace,debug,info,warn,error" help:"trace, debug, info, warn or error."`
	AccessLog settings.AccessLog `name:"access-log" env:"CAS_ACCESS_LOG" default:"on" help:"on, off, or the share of the requests that are logged, such as 1%. Requests that fail by a fault of the gateway, or break off, are logged always, but not a 503 of /readyz." placeholder:"SHARE"`
	LogFormat string             `name:"log-format" env:"CAS_LOG_FORMAT" default:"" enum:",console,json" help:"console or json; console on a terminal, else json."`
}

// hooks are set by tests only: they kill the process at a step of making a copy, of
// collecting a blob, of a scrub or of a reindex, and shorten the waits until another process takes the work over, and
// until a gateway notices that it hears of no changes. Some put a faulty index or object
// store in place of the right one.
var hooks struct {
	onStep              func(replicator.Step)
	lease, pollInterval time.Duration
	probeInterval       time.Duration
	index               func(wiring.Index) wiring.Index
	objects             func(cas.ObjectStore) cas.ObjectStore
	onCollectorStep     func(collector.Step, cas.ObjectRef)
	onScrubStep         func(scrubber.Step, cas.ObjectRef)
	onReindexStep       func(reindexStep)
}

// startTimeout bounds all requests to servers before the gateway serves.
const startTimeout = 30 * time.Second

// Run starts the gateway and serves until ctx is done.
func (c *serveCmd) Run(ctx context.Context, std terminal.Streams) error {
	log, flushLog := service.NewLogger(c.LogLevel, c.LogFormat, std)
	defer flushLog()
	for _, name := range unknownVariables(os.Environ(), c.Providers) {
		log.Warn().Str("variable", name).Msg("the variable is set, and there is no such setting; compare its spelling with `cas serve --help`")
	}
	s := &server{serveCmd: c, log: log, registry: service.NewRegistry()}
	if err := s.openAndRun(ctx); err != nil {
		return err
	}
	log.Info().Msg("stopped")
	return nil
}

// openObjects opens the object store and makes sure that it answers.
func (c *serveCmd) openObjects(ctx context.Context, log zerolog.Logger) (wiring.ObjectStore, error) {
	objects, err := wiring.OpenObjectStore(c.ObjectStore, c.Data, log)
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
		return fmt.Errorf("%w; %s", err, cmp.Or(wiring.BucketRemedy(err), "check CAS_S3_ENDPOINT, CAS_S3_BUCKET and the keys, or let --create-bucket make the bucket"))
	}
	// Many policies don't allow to ask for versioning, and some stores don't have it.
	if isVersioned, err := objects.S3.IsVersioned(ctx); err == nil && isVersioned {
		log.Warn().Str("store", objects.Text).Msg("the bucket keeps old versions: the bytes of removed blobs stay until a lifecycle rule removes old versions")
	}
	support, err := objects.S3.ChecksumSupport(ctx)
	switch {
	case support == wiring.ChecksumsRefused:
		return exit.Usagef("%w; the store takes uploads without that header: to use it so, set CAS_S3_CHECKSUMS=off. The gateway's own verification alone then protects uploads", err)
	case errors.Is(err, cas.ErrNoSpace):
		log.Warn().Err(err).Str("store", objects.Text).Msg("the object store is full, so only reads and deletes work; whether it enforces checksums is not known")
	case err != nil:
		return err
	case support == wiring.ChecksumsEnforced:
		log.Info().Str("store", objects.Text).Msg("the object store enforces checksums")
	case support == wiring.ChecksumsUnsent:
		log.Warn().Str("store", objects.Text).Msg("uploads have no checksum (CAS_S3_CHECKSUMS=off); the gateway's own verification alone protects them")
	default:
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
		SpoolDir:         c.Path(settings.SpoolDir),
		SpoolLimit:       int64(c.SpoolLimit),
		MaxBlobSize:      int64(c.MaxBlobSize),
		HotBlobSize:      hotBlobSize,
		HotBytes:         int64(c.HotBytes),
		VerifiedFor:      c.VerifiedFor,
		SeenFor:          cmp.Or(c.SeenFor, -1),
		ReadWithoutIndex: c.ReadWithoutIndex,

		RecordUses: c.RetainUnreferenced > 0,
		Log:        log,
	})
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
