// Package observe surrounds every request: it gives the request its id, turns errors
// into answers and panics into errors, and counts, logs and records how it ended.
package observe

import (
	"errors"
	stdlog "log"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/gateway/record"
	"casgate/gateway/request"
)

// Observer is what surrounds requests.
type Observer struct {
	Metrics  *Metrics
	Traffic  *Traffic
	Recorder *record.Recorder
	Log      zerolog.Logger
	// BodyRate bounds bodies that no handler reads.
	BodyRate request.MinRate
	// HandleError answers requests that failed.
	HandleError echo.HTTPErrorHandler
	// LogShare is the share of the requests that are logged, from 0 to 1, besides those that
	// failed by a fault of the gateway or broke off, which all are.
	LogShare float64
	// Traces makes the spans of requests. Nil: there are none.
	Traces trace.TracerProvider
}

// Middleware is an echo.MiddlewareFunc; it must be the outermost one.
func (o *Observer) Middleware(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		o.Traffic.begin()
		state := request.NewState(c.Response().Writer, request.NewOperationID())
		c.Response().Writer = state
		var span trace.Span
		if o.Traces != nil {
			span = o.beginSpan(c)
		}
		o.BodyRate.LimitUnread(state, c.Request())

		aborted := true // until the handler returns
		defer func() {
			if aborted {
				if v := recover(); v != nil {
					aborted = v == http.ErrAbortHandler || o.answerPanic(c, v)
				}
			}
			took := time.Since(start)
			o.Traffic.end(start.Add(took))
			o.end(c, record.RequestEnd{Start: start, Took: took, Aborted: aborted})
			if span != nil {
				endSpan(span, c, aborted)
			}
			if aborted {
				panic(http.ErrAbortHandler)
			}
		}()
		if err := next(c); err != nil {
			state.Failure = err
			o.HandleError(err, c)
			if c.Response().Committed && state.LogError == nil && c.Response().Status < 400 {
				// The answer broke off after it had begun: no client may take it for whole.
				state.LogError = err
				panic(http.ErrAbortHandler)
			}
		}
		aborted = false
		return nil
	}
}

// answerPanic answers 500 to a request whose handler panicked with v, and reports
// whether the connection has to be broken off instead.
func (o *Observer) answerPanic(c echo.Context, v any) (abort bool) {
	state := request.StateOf(c)
	withTrace(o.Log.Error().Str("operation_id", request.OperationID(c)), c).Interface("panic", v).Bytes("stack", debug.Stack()).Msg("a handler panicked")
	state.LogError, state.Failure = record.ErrPanic, record.ErrPanic
	if c.Response().Committed {
		return true
	}
	defer func() { abort = recover() != nil }()
	o.HandleError(record.ErrPanic, c)
	return false
}

// end counts, records and logs a request that has been answered, or aborted.
func (o *Observer) end(c echo.Context, end record.RequestEnd) {
	o.Metrics.count(c, end.Took)
	o.Recorder.Request(c, end)
	if event := o.logEvent(c, end.Aborted); event != nil {
		logRequest(event, c, end)
	}
}

// logEvent returns a log event of the right level, or nil if that level is off.
func (o *Observer) logEvent(c echo.Context, aborted bool) *zerolog.Event {
	path := c.Request().URL.Path
	// The gateway has logged what is not ready, or that it is about to stop.
	isUnready := path == "/readyz" && c.Response().Status == http.StatusServiceUnavailable
	switch {
	case isUnready && o.leavesOut():
		return nil
	case isUnready:
		return o.Log.Info()
	case errors.Is(request.StateOf(c).Failure, cas.ErrUploadRaced), errors.Is(request.StateOf(c).Failure, cas.ErrKeyInUse): // other requests caused it
		return o.Log.Warn()
	case c.Response().Status >= 500:
		return o.Log.Error()
	case aborted:
		return o.Log.Warn()
	case isProbe(path), isPagePart(path):
		return o.Log.Debug()
	case o.leavesOut():
		return nil
	default:
		return o.Log.Info()
	}
}

// leavesOut reports whether a request is not in the share that is logged.
func (o *Observer) leavesOut() bool { return o.LogShare < 1 && rand.Float64() >= o.LogShare }

// isProbe reports whether a path is asked every few seconds, which is no news.
func isProbe(path string) bool { return path == "/healthz" || path == "/readyz" }

// isPagePart reports whether a path is a part of the console's page, which is no news either.
func isPagePart(path string) bool {
	return strings.HasPrefix(path, "/console/") && path != "/console/session"
}

func logRequest(event *zerolog.Event, c echo.Context, end record.RequestEnd) {
	req, state := c.Request(), request.StateOf(c)
	// The query stays out: it may have a signature in it.
	event = withTrace(event.Str("operation_id", request.OperationID(c)), c).
		Str("method", req.Method).
		Str("path", access.WithoutSecrets(req.URL.Path)).
		Int("status", c.Response().Status).
		Int64("bytes_out", state.BytesOut()).
		Int64("took_us", end.Took.Microseconds()).
		Str("remote", req.RemoteAddr)
	if bytesIn := state.BytesIn(); bytesIn > 0 {
		event = event.Int64("bytes_in", bytesIn)
	}
	if id, ok := strings.CutPrefix(state.Record.Actor, journal.ActorToken); ok {
		event = event.Str("token", id)
	}
	if end.Aborted {
		event = event.Bool("aborted", true)
	}
	if state.LogError != nil {
		event = event.AnErr("error", state.LogError)
	}
	event.Msg("request")
}

// ServerLog sends the messages of net/http to the log. Most are about clients that
// don't speak HTTP, so their level is debug.
func ServerLog(log zerolog.Logger) *stdlog.Logger {
	return stdlog.New(serverLogWriter{log}, "", 0)
}

type serverLogWriter struct{ log zerolog.Logger }

func (w serverLogWriter) Write(p []byte) (int, error) {
	w.log.Debug().Str("from", "net/http").Msg(strings.TrimSpace(string(p)))
	return len(p), nil
}
