// Package gateway serves a cas.Store, cas.Files and a replicator.Replicator over HTTP:
// blobs by hash URL, files in the shape of OpenAI's API, copies at providers, access by
// token or signed URL, errors as RFC 9457 problems.
//
// This package wires the packages below it, and has the route table (routes.go). A
// request passes observe (id, log, metrics, journal), auth, and a handler of one of the
// packages named after a subject, such as blobapi. Handlers read requests with package
// request, and answer with package respond; blobs go out by package send.
package gateway

import (
	"context"
	_ "embed"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/auth"
	"casgate/gateway/inprocess"
	"casgate/gateway/observe"
	"casgate/gateway/record"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/send"
	"casgate/gateway/view"
	"casgate/providers/replicator"
)

// Gateway answers the HTTP API.
type Gateway struct {
	o        Options
	echo     *echo.Echo
	server   *http.Server
	auth     *auth.Authorizer
	recorder *record.Recorder
	handlers *handlers
	traffic  observe.Traffic
	self     *inprocess.Server // for parts of the gateway that are its clients
	draining atomic.Bool
	stop     context.CancelFunc // makes requests that wait for copies answer
}

// maxHeaderBytes bounds the header of a request.
const maxHeaderBytes = 64 << 10

// New returns a Gateway.
func New(o Options) (*Gateway, error) {
	o, err := withDefaults(o)
	if err != nil {
		return nil, err
	}
	g := &Gateway{o: o, echo: echo.New(), recorder: &record.Recorder{Journal: o.Journal, Log: o.Log}}
	errorLog := observe.ServerLog(o.Log)
	g.self = inprocess.New(inprocess.Options{Handler: g, MaxHeaderBytes: maxHeaderBytes, ErrorLog: errorLog})
	stopping, stop := context.WithCancel(context.Background())
	g.stop = stop
	urls := view.URLs{Base: o.PublicURL}
	g.auth = auth.New(auth.Options{
		Index: o.Access, NoAuth: o.NoAuth, PublicRead: o.PublicRead, NoSessions: o.Console.Off, RequestsPerSecond: o.RequestsPerSecond,
		URLs: urls, CORSOrigins: o.CORSOrigins, KeyMade: g.recorder.KeyMade, Log: o.Log,
	})
	if g.handlers, err = newHandlers(o, parts{auth: g.auth, recorder: g.recorder, stopping: stopping, urls: urls, self: g.self.Transport(), draining: g.draining.Load}); err != nil {
		stop()
		return nil, err
	}
	g.setUpEcho(urls)
	// HTTP/2 without TLS, as proxies and service meshes speak it (RFC 9113, section 3.3).
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	protocols.SetHTTP2(true)
	g.server = &http.Server{
		Handler:           send.LingerStreams(g.echo),
		Protocols:         &protocols,
		TLSConfig:         o.TLS,
		ReadHeaderTimeout: o.HeaderTimeout,
		IdleTimeout:       o.IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          errorLog,
		ConnContext:       send.ConnContext,
	}
	return g, nil
}

// setUpEcho makes Echo route by the route table, inside the observer.
func (g *Gateway) setUpEcho(urls view.URLs) {
	observer := &observe.Observer{
		Metrics:  observe.NewMetrics(g.o.Registry, observe.Gauges{Uploads: g.handlers.uploadSlots.used, Memory: g.o.Store.MemoryStats}),
		Traffic:  &g.traffic,
		Recorder: g.recorder, Log: g.o.Log, BodyRate: g.o.bodyRate(), HandleError: respond.Errors{URLs: urls}.Handle, LogShare: 1 - g.o.SkipLog,
		Traces: g.o.Traces,
	}
	g.echo.HTTPErrorHandler = observer.HandleError
	g.echo.IPExtractor = echo.ExtractIPDirect()
	g.echo.Logger.SetOutput(io.Discard) // the gateway logs with its own log
	g.echo.Pre(observer.Middleware)
	if len(g.o.CORSOrigins) > 0 {
		g.echo.Pre(crossOrigin(g.o.CORSOrigins))
	}
	g.echo.Pre(checkRequest)
	for _, r := range g.handlers.routes() {
		r.addTo(g.echo)
	}
}

// LastRequest returns when the gateway last answered a request; now, while it answers one.
// Background work makes room for clients with it.
func (g *Gateway) LastRequest() time.Time { return g.traffic.Last() }

// SignURL returns a URL at which a blob can be read without a token until then, as
// POST /v1/blobs/{digest}/url does. It does not check that there is such a blob. A
// replicator.Replicator uses it for references by URL. No read of it is redirected: a provider may not
// follow, and may not reach the object store.
func (g *Gateway) SignURL(ctx context.Context, r replicator.URLRequest) (string, error) {
	signed, err := g.auth.SignURL(ctx, r.Digest, access.Shown{Name: r.Name, MediaType: r.MediaType}, r.Expires)
	if err != nil {
		return "", err
	}
	return signed.URL + "&" + request.NoRedirectQuery, nil
}

// CopyEvent records the end of work on a copy that no request was waiting for. It is
// for the OnEvent of the Replicator in Options.Copies.
func (g *Gateway) CopyEvent(e replicator.Event) { g.recorder.Copy(e) }

// FileTakenIn records an attempt to take in the bytes of an imported file at its first
// access. It is for the TookIn of Options.Files.
func (g *Gateway) FileTakenIn(f cas.File, start time.Time, err error) {
	g.recorder.FileTakenIn(f, start, err)
}

// FileExpired records that a file has expired. It is for the Expired of Options.Files.
func (g *Gateway) FileExpired(f cas.File) { g.recorder.FileExpired(f) }
