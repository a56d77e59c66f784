// Package inprocess lets a part of the gateway be a client of the gateway's own handler,
// with nothing between but memory. Both ends are net/http's, so a request takes the way of
// every other one: limits, authorization, log and journal. A handler's deadlines for the body
// of a request hold. There are none for headers, idle connections and the reading of answers,
// since the client is part of the gateway: the end of its own request ends these.
package inprocess

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"

	"go.opentelemetry.io/otel/propagation"

	"casgate/cas/tracing"
)

// Server serves a handler to clients in the same process. It starts with the first request.
type Server struct {
	http      *http.Server
	listener  *listener
	start     sync.Once
	transport *http.Transport
}

// Options configures a Server as the http.Server that other clients reach.
type Options struct {
	Handler        http.Handler
	MaxHeaderBytes int         // of a request
	ErrorLog       *log.Logger // for what net/http reports, such as a panic of the handler
}

// New returns a Server. The caller closes it.
func New(o Options) *Server {
	s := &Server{
		http:     &http.Server{Handler: o.Handler, MaxHeaderBytes: o.MaxHeaderBytes, ErrorLog: o.ErrorLog},
		listener: newListener(),
	}
	s.transport = &http.Transport{DialContext: s.dial, DisableCompression: true, MaxIdleConnsPerHost: 16}
	return s
}

// Transport returns the transport of the clients. Every host leads to the handler.
// Requests of a traced context continue its trace.
func (s *Server) Transport() http.RoundTripper { return traced{s.transport} }

// traced is a transport that names the trace of a request's context.
type traced struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t traced) RoundTrip(r *http.Request) (*http.Response, error) {
	if tracing.ID(r.Context()) != "" {
		r = r.Clone(r.Context()) // a transport must not change its request
		tracing.Parents.Inject(r.Context(), propagation.HeaderCarrier(r.Header))
	}
	return t.next.RoundTrip(r)
}

// CloseIdleConnections lets a client that closes drop its connections.
func (t traced) CloseIdleConnections() {
	if closer, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// Close ends all requests.
func (s *Server) Close() {
	s.transport.CloseIdleConnections()
	s.listener.Close()
	_ = s.http.Close() // it returns the listener's error, which has none
}

func (s *Server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.start.Do(func() {
		go func() { _ = s.http.Serve(s.listener) }() // it ends with Close
	})
	ours, theirs := net.Pipe()
	select {
	case s.listener.conns <- theirs:
		return ours, nil
	case <-s.listener.closed:
		return nil, errors.New("the gateway stops")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// listener is a net.Listener of connections in memory.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newListener() *listener {
	return &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return address{} }

type address struct{}

func (address) Network() string { return "memory" }
func (address) String() string  { return "in-process" }
