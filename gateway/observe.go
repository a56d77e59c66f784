package gateway

import (
	"encoding/binary"
	"errors"
	"fmt"
	stdlog "log"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"

	"casgate/cas/journal"
)

// exchange is what the gateway knows of a request and its answer beyond what Echo
// does. It stands where Echo keeps net/http's writer: that costs one allocation,
// where Echo's own Set makes a map for each request.
type exchange struct {
	http.ResponseWriter
	id    [1]string // the operation's id, as a header value
	err   error     // what a 5xx answer hides from the client
	body  *uploadBody
	sent  int64 // bytes that didn't go through Echo's writer
	about about
}

func exchangeOf(c echo.Context) *exchange { return c.Response().Writer.(*exchange) }

// Unwrap lets http.ResponseController, and who sends files, reach net/http's
// writer.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// operationID returns the request's id, which its answer carries too.
func operationID(c echo.Context) string { return exchangeOf(c).id[0] }

// observe surrounds every request: it gives it an id, turns errors into answers
// and panics into errors, and counts and logs what came of it.
func (g *Gateway) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		entry := &exchange{ResponseWriter: c.Response().Writer, id: [1]string{newOperationID()}}
		c.Response().Writer = entry
		entry.Header()[echo.HeaderXRequestID] = entry.id[:]
		g.guardBody(entry, c.Request())

		aborted := true // until the handler comes back
		defer func() {
			if aborted {
				if v := recover(); v != nil {
					aborted = v == http.ErrAbortHandler
					if !aborted {
						g.log.Error().Str("operation_id", entry.id[0]).Interface("panic", v).Bytes("stack", debug.Stack()).Msg("a handler panicked")
						entry.err, entry.about.failure = errPanic, errPanic
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
		err := checkQuery(c.Request())
		if err == nil {
			err = next(c)
		}
		if err != nil {
			entry.about.failure = err
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

// checkQuery refuses a malformed query, of which net/url would pass over the parts
// it can't read.
func checkQuery(r *http.Request) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		return badRequest(fmt.Sprintf("the query is malformed: %v", err))
	}
	return nil
}

// answerPanic answers 500 and reports whether even that failed.
func (g *Gateway) answerPanic(c echo.Context) (failed bool) {
	defer func() { failed = recover() != nil }()
	g.handleError(errPanic, c)
	return false
}

// errPanic stands for a handler's panic.
var errPanic = errors.New("panic")

// record counts, logs and journals a request that has been answered, or aborted.
func (g *Gateway) record(c echo.Context, entry *exchange, start time.Time, aborted bool) {
	took := time.Since(start)
	req, res := c.Request(), c.Response()
	bytesOut := res.Size + entry.sent
	var bytesIn int64
	if entry.body != nil {
		bytesIn = entry.body.received()
	}
	g.metrics.observe(c.Path(), req.Method, res.Status, took, bytesIn, bytesOut)
	g.journalRequest(c, entry, start, took, bytesIn, bytesOut, aborted)

	var event *zerolog.Event
	switch {
	case res.Status >= 500:
		event = g.log.Error()
	case aborted:
		event = g.log.Warn()
	case req.URL.Path == "/healthz", req.URL.Path == "/readyz":
		event = g.log.Debug() // a probe every few seconds is no news
	default:
		event = g.log.Info()
	}
	if event == nil {
		return
	}
	// The query stays out: it may carry a signature.
	event = event.Str("operation_id", entry.id[0]).
		Str("method", req.Method).
		Str("path", req.URL.Path).
		Int("status", res.Status).
		Int64("bytes_out", bytesOut).
		Int64("took_us", took.Microseconds()).
		Str("remote", req.RemoteAddr)
	if bytesIn > 0 {
		event = event.Int64("bytes_in", bytesIn)
	}
	if id, ok := strings.CutPrefix(entry.about.actor, journal.ActorToken); ok {
		event = event.Str("token", id)
	}
	if aborted {
		event = event.Bool("aborted", true)
	}
	if entry.err != nil {
		event = event.AnErr("error", entry.err)
	}
	event.Msg("request")
}

// newOperationID returns a UUIDv7: unique, and in the order of time. It is a name,
// not a secret, so the runtime's own generator, which takes no lock, will do.
func newOperationID() string {
	id, err := uuid.NewV7FromReader(chacha{})
	if err != nil {
		panic(err) // reading chacha can't fail
	}
	return id.String()
}

// chacha reads from math/rand/v2, which is ChaCha8 seeded by the system.
type chacha struct{}

func (chacha) Read(p []byte) (int, error) {
	for i := 0; i < len(p); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], rand.Uint64())
		copy(p[i:], word[:])
	}
	return len(p), nil
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
