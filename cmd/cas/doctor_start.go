package main

import (
	"context"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/wiring"
)

// checkStart opens the parts of a gateway as cas serve does, and closes them again. It
// migrates, marks and serves nothing. After faults of the other checks it tries nothing: it
// would report them again.
func (c *doctorCmd) checkStart(ctx context.Context, e *examination) {
	const subject = "start"
	c.checkAddresses(ctx, e)
	c.checkCertificate(e)
	if e.failed > 0 {
		e.skip(subject, "not tried, since something before it is to fix; run `cas doctor` again then")
		return
	}
	with := ""
	x, serve := c.currentIndex(ctx), c.serveCmd
	serve.Data = c.scratch                                                     // for what a start makes
	serve.LocalTier = settings.LocalTier{CacheFill: settings.DefaultCacheFill} // checkTier has looked at its folder, which a gateway may use
	if x == nil {                                                              // the first start makes the tables, or changes them
		with = ", tried with an empty index: "
		if c.hasOlderIndex(ctx) {
			with += "the index is older, and the start migrates it"
		} else {
			with += "the index is new"
		}
		serve.Index = settings.Index{}
		var err error
		if x, err = wiring.OpenCurrentIndex(ctx, settings.Index{}, c.scratch, wiring.Observers{}); err != nil {
			e.fail(subject, err, c.indexRemedy(err))
			return
		}
	}
	defer x.Close()
	if err := os.MkdirAll(serve.Path(settings.ObjectsDir), 0o700); err != nil { // a start looks at its disk
		e.fail(subject, err, "look at the disk under "+c.DataDir)
		return
	}
	if err := c.tryStart(ctx, &serve, x); err != nil {
		e.fail(subject, err, "correct the setting that the message names; `cas serve --help` describes it")
		return
	}
	e.ok(subject, "a gateway with these settings opens all its parts%s", with)
}

// tryStart opens the parts of a gateway after the index and the store.
func (c *doctorCmd) tryStart(ctx context.Context, serve *serveCmd, x wiring.Index) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	objects, err := c.openObjects()
	if err != nil {
		return err
	}
	s := &server{serveCmd: serve, log: zerolog.Nop(), registry: prometheus.NewRegistry(), opened: x, index: x, objects: objects, traces: &wiring.Traces{}}
	defer objects.Close()
	defer s.close()
	for _, step := range []func(context.Context) error{
		s.checkSettings, s.openTier, s.openCaches, s.listen, s.openCopies, s.openCollector, s.openScrubber, s.openGateway, s.listenAdmin,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}
