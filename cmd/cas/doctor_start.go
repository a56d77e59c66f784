package main

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cmd/cas/internal/service"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/wiring"
	"casgate/gateway/client"
)

// checkStart opens the parts of a gateway as cas serve does, and closes them again. It
// migrates, marks and serves nothing. Faults that the other checks report are not tried
// again.
func (c *doctorCmd) checkStart(ctx context.Context, e *examination) {
	const subject = "start"
	c.checkAddress(ctx, e, &c.Listen, "CAS_LISTEN")
	c.checkAddress(ctx, e, &c.AdminListen, "CAS_ADMIN_LISTEN")
	if e.failed > 0 {
		return
	}
	x := c.currentIndex(ctx)
	if x == nil { // a new index, which the first start makes
		e.ok(subject, "not tried: the index is new")
		return
	}
	defer x.Close()
	if err := c.tryStart(ctx, x); err != nil {
		e.fail(subject, err, "correct the setting that the message names; `cas serve --help` describes it")
		return
	}
	e.ok(subject, "a gateway with these settings opens all its parts")
}

// checkAddress tries to listen on an address. If it is in use by a gateway, that is no fault,
// and another port is used for the rest.
func (c *doctorCmd) checkAddress(ctx context.Context, e *examination, address *string, setting string) {
	if *address == "" {
		return
	}
	ln, err := service.Listen(*address, setting)
	switch {
	case err == nil:
		ln.Close()
		return
	case errors.Is(err, syscall.EADDRINUSE) && (setting == "CAS_ADMIN_LISTEN" || isGateway(ctx, *address)):
		e.ok("address", "%s (%s) is in use, as by a gateway that runs", *address, setting)
		host, _, _ := net.SplitHostPort(*address) // it was listened on
		*address = net.JoinHostPort(host, "0")
	default:
		e.fail("address", err, "stop the program that uses it, or set "+setting+" to another address")
	}
}

// addressTimeout bounds the question who listens on an address.
const addressTimeout = 5 * time.Second

// isGateway reports whether a gateway answers at an address.
func isGateway(ctx context.Context, address string) bool {
	gateway, err := settings.ClientOf("http://"+address, client.Options{Retries: -1})
	if err != nil {
		return false
	}
	defer gateway.Close()
	ctx, cancel := context.WithTimeout(ctx, addressTimeout)
	defer cancel()
	err = gateway.Ready(ctx)
	return err == nil || errors.Is(err, client.ErrNotReady)
}

// tryStart opens the parts of a gateway after the index and the store.
func (c *doctorCmd) tryStart(ctx context.Context, x wiring.Index) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	objects, err := wiring.OpenObjectStore(c.ObjectStore, c.Data, zerolog.Nop())
	if err != nil {
		return err
	}
	s := &server{serveCmd: &c.serveCmd, log: zerolog.Nop(), registry: prometheus.NewRegistry(), opened: x, index: x, objects: objects}
	defer objects.Close()
	defer s.close()
	for _, step := range []func(context.Context) error{
		s.checkStoreSettings, s.openCaches, s.listen, s.openCopies, s.openCollector, s.openScrubber, s.openGateway, s.listenAdmin,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}
