// Package request reads requests: parameters of the path and the query, JSON bodies,
// names, media types, preferences, ranges, conditions, digest fields, forms, and
// bodies under a minimum rate. It also keeps what the gateway knows of the request
// that is being answered ([State]).
//
// Errors go to clients as they are; see package problem.
package request

import (
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas/journal"
)

// State is what the gateway knows of a request and its answer beyond what Echo
// knows. It stands where Echo keeps net/http's writer. That costs one allocation;
// Echo's own Set makes a map for each request.
type State struct {
	http.ResponseWriter
	// Record is what the journal will say of the request. Handlers fill in what the
	// path does not say. The actor is empty until the request is authorized; Bytes is
	// what the request moved to a provider.
	Record journal.Record
	// SkipRecord leaves the request out of the journal: the work goes on and is
	// recorded at its end, or nothing was done.
	SkipRecord bool
	// ShownName and ShownType are the name and the media type that the request's signed URL
	// shows for the blob. Empty means the blob's own.
	ShownName, ShownType string
	// URLExpires is when the request's signed URL expires; zero if it has none.
	URLExpires time.Time
	// MayRead: the token of the request, or its URL, may read. Without it, answers show
	// nothing of what others stored but ids and states. Package auth sets it.
	MayRead bool
	// TakesSession: the route takes the session of the console in place of a token.
	TakesSession bool
	// Failure is the error that the handler returned, whatever the client got.
	Failure error
	// LogError is an error that the answer hides from the client, for the log.
	LogError error

	id   [1]string // the operation id, as a header value
	body *Body
	sent int64
}

// NewState returns the state of a request that begins. It sets the operation id in
// the answer's header.
func NewState(w http.ResponseWriter, operationID string) *State {
	s := &State{ResponseWriter: w, id: [1]string{operationID}}
	s.Header()[echo.HeaderXRequestID] = s.id[:]
	return s
}

// StateOf returns the state of a request.
func StateOf(c echo.Context) *State { return c.Response().Writer.(*State) }

// OperationID returns the operation id of a request. The answer carries it too.
func OperationID(c echo.Context) string { return StateOf(c).id[0] }

// NameSubject adds the id of what an operation is about to the operation's own id, if it is
// neither a blob nor a file, so that the journal names it. The answer must not have begun.
func NameSubject(c echo.Context, id string) { StateOf(c).id[0] += "." + id }

// Unwrap lets http.ResponseController reach net/http's writer.
func (s *State) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// Write implements io.Writer, and counts.
func (s *State) Write(p []byte) (int, error) {
	n, err := s.ResponseWriter.Write(p)
	s.sent += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom: net/http's writer sends files on disk by sendfile.
func (s *State) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(s.ResponseWriter, r)
	s.sent += n
	return n, err
}

// BytesOut returns how many bytes of the answer's body were written.
func (s *State) BytesOut() int64 { return s.sent }

// BytesIn returns how many bytes of an upload's body came in.
func (s *State) BytesIn() int64 {
	if s.body == nil {
		return 0
	}
	return s.body.received()
}
