package main

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
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
	with := ""
	x, serve := c.currentIndex(ctx), c.serveCmd
	serve.Data = c.scratch                 // for what a start makes
	serve.LocalTier = settings.LocalTier{} // checkTier has looked at its folder, which a gateway may use
	if x == nil {                          // the first start makes the tables, or changes them
		with = ", tried with an empty index: "
		if c.hasOlderIndex() {
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

// checkAddress tries to listen on an address. If it is in use by a gateway of this data
// folder, that is no fault, and another port is used for the rest.
func (c *doctorCmd) checkAddress(ctx context.Context, e *examination, address *string, setting string) {
	if *address == "" {
		return
	}
	ln, err := service.Listen(*address, setting)
	switch {
	case err == nil:
		ln.Close()
	case !errors.Is(err, syscall.EADDRINUSE):
		e.fail("address", err, addressRemedy(err, setting))
	case c.isOwn(ctx, *address, setting):
		e.ok("address", "%s (%s) is in use by the gateway that runs", *address, setting)
		host, _, err := net.SplitHostPort(*address)
		if err != nil { // a Unix socket
			host = "127.0.0.1"
		}
		*address = net.JoinHostPort(host, "0")
	default:
		e.fail("address", err, "stop the program that uses it, or set "+setting+" to another address; it is not a gateway of "+c.DataDir)
	}
}

// addressRemedy returns what to do about an address that is not in use.
func addressRemedy(err error, setting string) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "give " + userName() + " the right to listen there, or set " + setting + " to another address; a port below 1024 needs a right"
	case errors.Is(err, fs.ErrNotExist):
		return "make the folder of the socket, or set " + setting + " to a path in another one"
	}
	return "set " + setting + " to an address of this machine, such as 127.0.0.1:8080"
}

// isOwn reports whether a gateway of this data folder uses an address. With Postgres there is
// no lock that tells, so it is enough that a gateway answers.
func (c *doctorCmd) isOwn(ctx context.Context, address, setting string) bool {
	if c.Index.Embedded() {
		if isLocked, err := wiring.IsDataLocked(c.Data); err != nil || !isLocked {
			return false
		}
	}
	switch _, _, err := net.SplitHostPort(address); {
	case setting == "CAS_ADMIN_LISTEN":
		return isAdmin(ctx, address)
	case err != nil || c.TLSCertFile != "": // it can't be asked: the lock decides
		return c.Index.Embedded()
	}
	return isGateway(ctx, address)
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

// isAdmin reports whether an address has the metrics of a gateway.
func isAdmin(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, addressTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "casgate_") {
			return true
		}
	}
	return false
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
		s.checkStoreSettings, s.openTier, s.openCaches, s.listen, s.openCopies, s.openCollector, s.openScrubber, s.openGateway, s.listenAdmin,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}
