package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"casgate/gateway/send"
)

// ServeHTTP answers one request. The caller sets the time-outs for headers, idle
// connections and slow readers.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.echo.ServeHTTP(w, r) }

// Serve answers requests on the listener until ctx is done. It then takes no new ones,
// lets those under way finish for up to ShutdownGrace, cuts off the rest, and returns
// nil.
func (g *Gateway) Serve(ctx context.Context, ln net.Listener) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		g.auth.Run(background)
	}()
	defer func() { stop(); <-flushed }()
	defer g.self.Close()

	failed := make(chan error, 1)
	go func() { failed <- g.serve(send.Listener(ln, g.o.WriteStall)) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	return g.shutDown(context.WithoutCancel(ctx))
}

// serve answers requests until the server is shut down.
func (g *Gateway) serve(ln net.Listener) error {
	if g.o.TLS != nil {
		return g.server.ServeTLS(ln, "", "")
	}
	return g.server.Serve(ln)
}

// Drain makes GET /readyz answer 503 from now on, and changes nothing else. Load balancers
// then send new requests to other gateways.
func (g *Gateway) Drain() { g.draining.Store(true) }

// shutDown ends Serve.
func (g *Gateway) shutDown(ctx context.Context) error {
	g.stop() // requests that wait for copies get their answer
	g.o.Log.Info().Dur("grace", g.o.ShutdownGrace).Msg("stopping; transfers under way may finish")
	grace, cancel := context.WithTimeout(ctx, g.o.ShutdownGrace)
	defer cancel()
	err := g.server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		g.o.Log.Warn().Int("uploads", g.handlers.uploadSlots.used()).Msg("the grace period is over; cutting off the transfers left")
		err = g.server.Close()
	}
	if err != nil {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}
