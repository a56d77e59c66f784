package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"casgate/cas"
	"casgate/cas/collector"
	"casgate/cas/journal"
	"casgate/cas/scrubber"
	"casgate/cmd/cas/internal/build"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/service"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/wiring"
	"casgate/gateway"
	"casgate/index"
	"casgate/providers/replicator"
)

// server holds the parts of a running gateway, in the order in which they open.
type server struct {
	*serveCmd
	log      zerolog.Logger
	registry *prometheus.Registry

	traces       *wiring.Traces
	opened       wiring.Index // the driver's own
	index        wiring.Index // what all parts but the listener use: the same, but in tests
	records      *journal.Writer
	objects      wiring.ObjectStore
	tier         *wiring.Tier // what blobs are read from and uploaded to
	blobs        *index.Cached
	store        *cas.Store
	sources      wiring.Sources
	api          net.Listener
	certificate  *service.Certificate // nil: the API is plain HTTP
	publicURL    string
	ledger       *index.CachedLedger
	copies       *wiring.Copies
	presigner    *wiring.Presigner // nil: the gateway's own URLs are for providers
	known        *index.CachedFiles
	files        *cas.Files
	collector    *collector.Collector
	retention    *collector.Retention // nil: blobs stay until they are deleted
	scrubber     *scrubber.Scrubber   // nil: objects are checked by command only
	disks        *service.Disks
	inventory    *wiring.Inventory
	reachability *service.Reachability
	gateway      *gateway.Gateway
	admin        net.Listener // nil if turned off

	closers []func()
}

// openAndRun serves until ctx is done, and closes all parts.
func (s *server) openAndRun(ctx context.Context) error {
	defer s.close()
	if err := s.open(ctx); err != nil {
		return err
	}
	return s.run(ctx)
}

// open opens all parts. The caller calls close, also after an error.
func (s *server) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, step := range []func(context.Context) error{
		s.checkSettings, s.openTraces, s.openIndex, s.openStore, s.openTier, s.openCaches, s.listen, s.openCopies, s.openCollector, s.openScrubber, s.openGateway, s.listenAdmin,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// atClose adds a function to those that close calls, the last first.
func (s *server) atClose(f func()) { s.closers = append(s.closers, f) }

// close closes the open parts, the last first.
func (s *server) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

// checkSettings refuses settings that don't go together, before anything is made.
func (s *server) checkSettings(context.Context) error {
	if s.ReferenceURLs == "bucket" && s.ObjectStore.Embedded() {
		return exit.Usagef("--reference-urls=bucket needs a bucket; set CAS_S3_ENDPOINT, or leave the URLs to the gateway")
	}
	if s.ReadRedirect > 0 && s.ObjectStore.Embedded() {
		return exit.Usagef("CAS_READ_REDIRECT needs a bucket, which has URLs of its own; set CAS_S3_ENDPOINT, or unset it")
	}
	return wiring.CheckTier(s.LocalTier, s.ObjectStore)
}

// openTraces opens what sends traces. It closes after everything that makes spans.
func (s *server) openTraces(ctx context.Context) error {
	var err error
	if s.traces, err = wiring.OpenTraces(ctx, s.Traces, build.Version(), s.log); err != nil {
		return err
	}
	s.atClose(s.traces.Close)
	return nil
}

// openIndex locks the data folder of an embedded gateway, and opens the index and the
// journal.
func (s *server) openIndex(ctx context.Context) error {
	if err := s.Data.CreateFolder(); err != nil {
		return err
	}
	if s.Index.Embedded() {
		unlock, err := wiring.LockData(s.Data)
		if err != nil {
			return err
		}
		s.atClose(unlock)
	}
	s.Index.ProbeInterval = hooks.probeInterval
	var err error
	if s.opened, err = wiring.OpenCurrentIndex(ctx, s.Index, s.Data, wiring.Observers{Log: s.log, Traces: s.traces.TracerProvider}); err != nil {
		return err
	}
	if s.Index.Embedded() {
		if err := wiring.EndLeases(ctx, s.opened); err != nil {
			s.opened.Close()
			return err
		}
	}
	wiring.MeasureIndex(s.opened, s.registry)
	s.index = s.opened
	if hooks.index != nil {
		s.index = hooks.index(s.opened)
	}
	s.atClose(s.opened.Close)
	if err := s.checkPages(ctx); err != nil {
		return err
	}
	// The journal closes after everything that adds records.
	records, stop := wiring.OpenJournal(s.Journal, s.index, s.registry, s.log)
	s.records = records
	s.atClose(stop)
	return nil
}

// pagesTimeout limits the check of an embedded index at the start.
const pagesTimeout = 10 * time.Second

// checkPages refuses a damaged file of an embedded index. A large file is not checked to
// its end; `cas doctor` does that.
func (s *server) checkPages(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pagesTimeout)
	defer cancel()
	switch err := wiring.CheckPages(ctx, s.opened); {
	case errors.Is(err, wiring.ErrIndexDamaged):
		return wiring.AdviseRestore(err)
	case err != nil:
		s.log.Warn().Err(err).Msg("the index's file was not checked to its end; `cas doctor` does it")
	}
	return nil
}

// openStore opens the object store, and makes the first token.
func (s *server) openStore(ctx context.Context) error {
	var err error
	if s.objects, err = s.openObjects(ctx, s.log); err != nil {
		return err
	}
	if hooks.objects != nil {
		s.objects.ObjectStore = hooks.objects(s.objects.ObjectStore)
	}
	s.objects.ObjectStore = wiring.TraceStore(wiring.MeasureStore(s.objects.ObjectStore, s.registry), s.traces)
	s.atClose(func() { s.objects.Close() })
	check := wiring.CheckStoreMark
	if s.AdoptStore {
		check = wiring.AdoptStore
	}
	if err := check(ctx, s.index, s.objects); err != nil {
		return err
	}
	if err := s.prepareAccess(ctx, s.index, s.records, s.log); err != nil {
		return err
	}
	return nil
}

// openTier opens the local tier.
func (s *server) openTier(context.Context) error {
	var err error
	if s.tier, err = wiring.OpenTier(s.LocalTier, s.Data, s.objects, s.registry, s.log); err != nil {
		return err
	}
	s.atClose(s.tier.Close)
	return nil
}

// redirect returns which reads are answered with a URL of the bucket.
func (s *server) redirect() gateway.RedirectOptions {
	if s.ReadRedirect == 0 {
		return gateway.RedirectOptions{}
	}
	return gateway.RedirectOptions{Above: int64(s.ReadRedirect), URL: s.objects.S3.PresignAs}
}

// openCaches opens what stands in front of the index and the object store, and the
// sources of imported files.
func (s *server) openCaches(context.Context) error {
	var err error
	if s.blobs, err = index.NewCached(s.tier.Watch(s.index), s.cacheOptions()); err != nil {
		return err
	}
	s.atClose(s.blobs.Close)
	registerCacheMetrics(s.registry, s.blobs)
	if s.store, err = s.newStore(s.tier, s.blobs, s.log); err != nil {
		return exit.With(exit.Usage, err)
	}
	s.atClose(s.store.Close)
	s.inventory = wiring.NewInventory(s.index, s.registry, s.log)
	s.reachability = service.NewReachability([]service.Checked{
		{Name: "index", Check: s.store.CheckIndex}, {Name: "store", Check: s.store.CheckObjects}, {Name: settings.SpoolDir, Check: s.store.CheckSpool},
	}, s.registry, s.log)
	if s.disks, err = service.NewDisks(dataFolders(s.Data, s.ObjectStore), int64(s.DiskLow), s.registry, s.log); err != nil {
		return err
	}
	if s.sources, err = wiring.OpenSources(s.Sources); err != nil {
		return err
	}
	s.atClose(s.sources.Close)
	return nil
}

// cacheOptions says that other processes may change an index that isn't embedded.
func (s *server) cacheOptions() index.CacheOptions {
	return index.CacheOptions{Shared: !s.Index.Embedded()}
}

// listen opens the address of the API.
func (s *server) listen(context.Context) error {
	var err error
	if s.api, err = service.Listen(s.Listen, "CAS_LISTEN"); err != nil {
		return err
	}
	s.atClose(func() { s.api.Close() })
	if s.Auth == "none" && !service.IsLoopback(s.api.Addr()) {
		return exit.Usagef("--auth=none is allowed only on a loopback address, and %s is not one", s.api.Addr())
	}
	if (s.TLSCertFile == "") != (s.TLSKeyFile == "") {
		return exit.Usagef("CAS_TLS_CERT_FILE and CAS_TLS_KEY_FILE need each other; set both or none")
	}
	scheme := "http"
	if s.TLSCertFile != "" {
		scheme = "https"
		if s.certificate, err = service.OpenCertificate(s.TLSCertFile, s.TLSKeyFile, s.registry, s.log); err != nil {
			return exit.With(exit.Usage, err)
		}
	}
	s.publicURL = s.PublicURL
	if s.publicURL == "" {
		s.publicURL = service.URLOf(scheme, s.api.Addr())
	}
	return nil
}

// tls returns how the API is served over TLS; nil: it is plain HTTP.
func (s *server) tls() *tls.Config {
	if s.certificate == nil {
		return nil
	}
	return s.certificate.Config()
}

// drained returns a context that is done CAS_DRAIN_DELAY after ctx. In between, the
// gateway only says that it isn't ready.
func (s *server) drained(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.DrainDelay <= 0 {
		return context.WithCancel(ctx)
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	cancel := context.AfterFunc(ctx, func() {
		s.gateway.Drain()
		s.log.Info().Dur("delay", s.DrainDelay).Msg("draining: not ready any more, but answering requests")
		time.AfterFunc(s.DrainDelay, stop)
	})
	return serving, func() { cancel(); stop() }
}

// openCopies opens the ledger, the providers and the replicator.
func (s *server) openCopies(context.Context) error {
	var err error
	if s.ledger, err = index.NewCachedLedger(s.index, index.LedgerOptions{CacheOptions: s.cacheOptions()}); err != nil {
		return err
	}
	s.atClose(s.ledger.Close)
	if s.ReferenceURLs == "bucket" {
		s.presigner = &wiring.Presigner{Store: s.store, Objects: s.objects.S3}
	}
	s.copies, err = wiring.OpenCopies(s.Providers, replicator.Options{
		Blobs: s.store, Ledger: s.ledger, Log: s.log, Traces: s.traces.TracerProvider,
		SignURL: s.signURL,
		OnEvent: func(e replicator.Event) { s.gateway.CopyEvent(e) },
		OnStep:  hooks.onStep, Lease: hooks.lease, PollInterval: hooks.pollInterval,
	}, s.registry)
	if err != nil {
		return err
	}
	s.atClose(s.copies.Close)
	if s.copies.Simulated() && !service.IsLoopback(s.api.Addr()) {
		return wiring.ErrSimulateElsewhere
	}
	return nil
}

// signURL returns a URL that reads a blob without a token, for references.
func (s *server) signURL(ctx context.Context, r replicator.URLRequest) (string, error) {
	if s.presigner != nil {
		return s.presigner.URL(ctx, r)
	}
	return s.gateway.SignURL(ctx, r)
}

// openCollector opens the collector of deleted blobs.
func (s *server) openCollector(context.Context) error {
	var err error
	s.collector, err = wiring.OpenCollector(s.Collection, collector.Options{
		Index: s.index, Objects: s.tier, Batches: s.tier.Batches, Texts: s.texts(),
		Copies:   wiring.CollectedCopies{Replicator: s.copies.Replicator, Actor: journal.ActorGateway},
		Interval: s.GCInterval, Share: collector.ServingShare, Lease: hooks.lease, OnStep: hooks.onCollectorStep, Log: s.log,
		LastRequest: func() time.Time { return s.gateway.LastRequest() }, // opened after the collector
		Notify:      wiring.RecordCollected(s.records),
	}, s.registry)
	if err != nil || s.RetainUnreferenced == 0 {
		return err
	}
	s.retention = wiring.OpenRetention(s.Retention, collector.RetentionOptions{
		Index: s.index, Uses: s.store.TakeUses, Log: s.log,
		Condemned: wiring.Unreferenced{Forget: s.blobs.Forget, Journal: s.records}.Condemned,
	}, s.registry)
	return nil
}

// openScrubber opens what checks stored objects in the background.
func (s *server) openScrubber(context.Context) error {
	if s.ScrubEvery == 0 {
		return nil
	}
	o := scrubber.Options{
		Every: s.ScrubEvery, Rate: int64(s.ScrubRate), Lease: hooks.lease, OnStep: hooks.onScrubStep, Log: s.log,
		Notify: wiring.RecordScrubbed(s.records), Forget: s.store.ForgetObject,
	}
	if s.ScrubRepair {
		sources, err := wiring.OpenRepairSources(s.Scrub, wiring.RepairParts{
			Objects: s.objects, Data: s.Data, Tier: s.tier, Files: s.index, Origins: s.sources.List(), Copies: s.copies.Replicator,
		})
		if err != nil {
			return err
		}
		s.atClose(sources.Close)
		o.Sources = sources.All
	}
	var err error
	s.scrubber, err = wiring.OpenScrubber(s.Scrub, s.index, s.objects, o, s.registry)
	return err
}

// texts deletes the texts extracted from deleted blobs.
func (s *server) texts() cas.Texts { return cas.Texts{Index: s.index, Blobs: s.blobs} }

// openGateway joins the parts to a gateway.
func (s *server) openGateway(ctx context.Context) error {
	mark, err := s.index.Mark(ctx)
	if err != nil {
		return err
	}
	wiring.RegisterInstallation(mark, s.registry)
	imported := &wiring.ImportedCopies{Copies: s.copies, Log: s.log}
	known, err := index.NewCachedFiles(s.index, s.cacheOptions())
	if err != nil {
		return err
	}
	s.known = known
	s.atClose(known.Close)
	s.files = cas.NewFiles(cas.FilesOptions{
		Store: s.store, Index: known, Sources: s.sources.List(), Adopt: imported.Enter, Log: s.log,
		TookIn:  func(f cas.File, began time.Time, err error) { s.gateway.FileTakenIn(f, began, err) },
		Expired: func(f cas.File) { s.gateway.FileExpired(f) },
		Condemned: wiring.ExpiredBlobs{
			Copies: wiring.CollectedCopies{Replicator: s.copies.Replicator, Actor: journal.ActorGateway}, Texts: s.texts(), Log: s.log,
		}.Condemned,
	})
	chat, err := wiring.ChatOptions(s.Chat)
	if err != nil {
		return err
	}
	s.gateway, err = gateway.New(gateway.Options{
		Store: s.store, Files: s.files, Access: s.index, Copies: s.copies.Replicator, Texts: s.texts(),
		Journal: s.records, Records: s.index, CopyWait: s.CopyWait, Chat: chat, TokenAPIOff: s.TokenAPI == "off", MCPOff: s.MCP == "off", CORSOrigins: s.CORSOrigins, PublicURL: s.publicURL,
		NoAuth: s.Auth == "none", PublicRead: s.PublicRead, Redirect: s.redirect(),
		Console: gateway.ConsoleOptions{Off: s.Console == "off", Version: build.Version()},
		Log:     s.log, SkipLog: 1 - float64(s.AccessLog), Registry: s.registry, Traces: s.traces.TracerProvider, TLS: s.tls(),
		MaxUploads: s.MaxUploads, RequestsPerSecond: s.RateLimit,
		MinBodyRate: int64(s.MinBodyRate), BodyWindow: s.BodyWindow,
		IdleTimeout: s.IdleTimeout, ShutdownGrace: s.Grace,
		IsDiskLow: s.disks.IsLow, Installation: mark.Hash(),
	})
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	return nil
}

// listenAdmin opens the address of metrics and pprof.
func (s *server) listenAdmin(context.Context) error {
	if s.AdminListen == "" {
		return nil
	}
	var err error
	if s.admin, err = service.Listen(s.AdminListen, "CAS_ADMIN_LISTEN (empty turns it off)"); err != nil {
		return err
	}
	s.atClose(func() { s.admin.Close() })
	return nil
}

// run serves until ctx is done or a service fails.
func (s *server) run(ctx context.Context) error {
	ctx, stop := s.drained(ctx)
	defer stop()
	services, ctx := errgroup.WithContext(ctx)
	changes := index.FanOut(s.blobs.Listener(), s.ledger.Listener(), s.copies.Listener(), s.known.Listener(), s.tier.Listener())
	services.Go(func() error { return service.UntilDone(ctx, wiring.Listen(ctx, s.opened, changes)) })
	s.copies.Start(ctx, services.Go)
	services.Go(func() error { return service.UntilDone(ctx, s.files.Run(ctx)) })
	services.Go(func() error { return service.UntilDone(ctx, s.disks.Run(ctx)) })
	services.Go(func() error { return service.UntilDone(ctx, s.inventory.Run(ctx)) })
	services.Go(func() error { return service.UntilDone(ctx, s.reachability.Run(ctx)) })
	services.Go(func() error { return service.UntilDone(ctx, s.tier.Run(ctx, s.index, s.store.ForgetObject)) })
	if s.GCInterval > 0 {
		services.Go(func() error { return service.UntilDone(ctx, s.collector.Run(ctx)) })
	}
	if s.scrubber != nil {
		services.Go(func() error { return service.UntilDone(ctx, s.scrubber.Run(ctx)) })
	}
	if s.OrphansEvery > 0 {
		services.Go(func() error {
			return service.UntilDone(ctx, wiring.Orphans(s.index, s.objects, s.OrphansEvery, s.log).Run(ctx))
		})
	}
	if s.retention != nil {
		services.Go(func() error { return service.UntilDone(ctx, s.retention.Run(ctx)) })
	}
	if s.admin != nil {
		services.Go(func() error { return service.ServeAdmin(ctx, s.admin, s.registry) })
	}
	services.Go(func() error { return s.gateway.Serve(ctx, s.api) })

	if err := s.writeListenFile(); err != nil {
		return err
	}
	defer os.Remove(s.Path(settings.ListenFile))
	serving := s.log.Info()
	if tier := s.tier.Describe(); tier != "" {
		serving.Str("local_tier", tier)
	}
	if s.ReadRedirect > 0 {
		serving.Str("read_redirect", humanize.IBytes(uint64(s.ReadRedirect)))
	}
	serving.Str("version", build.Version()).Str("url", s.publicURL).Str("listen", s.api.Addr().String()).
		Str("index", s.Index.Describe(s.Data)).Str("store", s.objects.Text).
		Str("providers", s.copies.Names()).Bool("simulated", s.copies.Simulated()).
		Str("auth", s.Auth).Bool("public_read", s.PublicRead).Msg("serving")
	return services.Wait()
}

// writeListenFile writes the address of the API to the data folder. On a full disk there is
// no such file: deletes, which make room, must work there.
func (s *server) writeListenFile() error {
	name := s.Path(settings.ListenFile)
	err := os.WriteFile(name, []byte(s.api.Addr().String()+"\n"), 0o644)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		s.log.Warn().Err(err).Msg("no room for the file with the listen address")
		return nil
	}
	if err != nil {
		return fmt.Errorf("write the listen address: %w", err)
	}
	return nil
}
