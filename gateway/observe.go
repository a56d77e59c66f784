package gateway

import (
	"errors"
	stdlog "log"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"
)

// requestLog gathers what the log says of one request beyond what Echo knows.
type requestLog struct {
	operationID string
	tokenID     string
	err         error // what a 5xx answer hides from the client
	body        *uploadBody
	bytesOut    int64 // what didn't go through Echo's writer
}

const requestLogKey = "casgate.log"

func logOf(c echo.Context) *requestLog { return c.Get(requestLogKey).(*requestLog) }

// operationID returns the request's id, which its answer carries too.
func operationID(c echo.Context) string { return logOf(c).operationID }

// observe surrounds every request: it gives it an id, turns errors into answers
// and panics into errors, and counts and logs what came of it.
func (g *Gateway) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		entry := &requestLog{operationID: newOperationID()}
		c.Set(requestLogKey, entry)
		h := c.Response().Header()
		h[echo.HeaderXRequestID] = []string{entry.operationID}
		h["Server"] = g.metrics.serverHeader
		g.guardBody(c.Response(), c.Request())

		aborted := true // until the handler comes back
		defer func() {
			if aborted {
				if v := recover(); v != nil {
					aborted = v == http.ErrAbortHandler
					if !aborted {
						g.log.Error().Str("operation_id", entry.operationID).Interface("panic", v).Bytes("stack", debug.Stack()).Msg("a handler panicked")
						entry.err = errors.New("panic")
						aborted = c.Response().Committed
						if !aborted {
							aborted = g.answerPanic(c)
						}
					}
				}
			}
			g.record(c, entry, start, aborted)
			if aborted {
				panic(http.ErrAbortHandler)
			}
		}()
		if err := next(c); err != nil {
			g.handleError(err, c)
			if c.Response().Committed && entry.err == nil && c.Response().Status < 400 {
				// The answer broke off after it had begun: no client may take it for whole.
				entry.err = err
				panic(http.ErrAbortHandler)
			}
		}
		aborted = false
		return nil
	}
}

// answerPanic answers 500 and reports whether even that failed.
func (g *Gateway) answerPanic(c echo.Context) (failed bool) {
	defer func() { failed = recover() != nil }()
	g.handleError(errors.New("panic"), c)
	return false
}

// record counts and logs a request that has been answered, or aborted.
func (g *Gateway) record(c echo.Context, entry *requestLog, start time.Time, aborted bool) {
	took := time.Since(start)
	req, res := c.Request(), c.Response()
	bytesOut := res.Size + entry.bytesOut
	var bytesIn int64
	if entry.body != nil {
		bytesIn = entry.body.total
	}
	g.metrics.observe(c.Path(), req.Method, res.Status, took, bytesIn, bytesOut)

	var event *zerolog.Event
	switch {
	case res.Status >= 500:
		event = g.log.Error()
	case aborted:
		event = g.log.Warn()
	case strings.HasSuffix(req.URL.Path, "z") && (req.URL.Path == "/healthz" || req.URL.Path == "/readyz"):
		event = g.log.Debug() // a probe every few seconds is no news
	default:
		event = g.log.Info()
	}
	if event == nil {
		return
	}
	// The query stays out: it may carry a signature.
	event = event.Str("operation_id", entry.operationID).
		Str("method", req.Method).
		Str("path", req.URL.Path).
		Int("status", res.Status).
		Int64("bytes_in", bytesIn).
		Int64("bytes_out", bytesOut).
		Dur("took_ms", took).
		Str("remote", req.RemoteAddr)
	if entry.tokenID != "" {
		event = event.Str("token", entry.tokenID)
	}
	if aborted {
		event = event.Bool("aborted", true)
	}
	if entry.err != nil {
		event = event.AnErr("error", entry.err)
	}
	event.Msg("request")
}

// newOperationID returns a UUIDv7: unique, and in the order of time.
func newOperationID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString() // v4 from the same source; NewV7 fails only where reading it did
	}
	return id.String()
}

// serverLog sends net/http's own complaints to the log, at a level that suits
// what they mostly are: clients that don't speak HTTP.
func serverLog(log zerolog.Logger) *stdlog.Logger {
	return stdlog.New(serverLogWriter{log}, "", 0)
}

type serverLogWriter struct{ log zerolog.Logger }

func (w serverLogWriter) Write(p []byte) (int, error) {
	w.log.Debug().Str("from", "net/http").Msg(strings.TrimSpace(string(p)))
	return len(p), nil
}
