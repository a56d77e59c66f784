// Package record writes the gateway's operations to the journal: those of requests,
// and those that the gateway does by itself.
package record

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
)

// Recorder writes operations to the journal and the log.
type Recorder struct {
	Journal *journal.Writer // nil: nothing is recorded
	Log     zerolog.Logger
}

// ErrPanic is the failure of a request whose handler panicked.
var ErrPanic = errors.New("panic")

// RequestEnd says how a request ended, beyond what its state says.
type RequestEnd struct {
	Start time.Time
	Took  time.Duration
	// Aborted: the answer broke off, or there was none.
	Aborted bool
}

// Request records a request that has ended, if it was an operation. A request that
// was not authorized is none: anybody can send those, and as many as they like.
func (r *Recorder) Request(c echo.Context, end RequestEnd) {
	state, status := request.StateOf(c), c.Response().Status
	if r.Journal == nil || state.Record.Kind == "" || state.Record.Actor == "" || state.SkipRecord || status == http.StatusNotModified {
		return
	}
	if isRecordedLater(state.Failure) {
		return
	}
	record := &state.Record
	record.ID, record.Start, record.Duration = request.OperationID(c), end.Start, end.Took
	record.Outcome, record.ErrorCode = outcome(state.Failure, status, end.Aborted)
	if state.Failure != nil && respond.IsClientGone(c, state.Failure) { // whatever else the failure says
		record.Outcome, record.ErrorCode = journal.OutcomeBroken, ""
	}
	record.ChangesNothing = record.ChangesNothing || record.Kind == journal.KindDownload
	switch {
	case record.Kind == journal.KindUpload:
		record.Bytes = state.BytesIn()
	case (record.Kind == journal.KindDownload || record.Kind == journal.KindChat) && status < 400:
		record.Bytes = state.BytesOut()
	}
	addPath(c, record)
	r.Journal.Add(*record)
}

// storeLimit bounds the storing of one record before the answer.
const storeLimit = 10 * time.Second

// RequestNow stores the record of a request that has succeeded except for its answer, even if
// the client has gone meanwhile. Request then records nothing more. If storing fails,
// Request still records.
func (r *Recorder) RequestNow(c echo.Context, began time.Time) error {
	if r.Journal == nil {
		return nil
	}
	state := request.StateOf(c)
	record := state.Record
	record.ID, record.Start, record.Duration, record.Outcome = request.OperationID(c), began, time.Since(began), journal.OutcomeOK
	addPath(c, &record)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), storeLimit)
	defer cancel()
	if err := r.Journal.AddNow(ctx, record); err != nil {
		return err
	}
	state.SkipRecord = true
	return nil
}

// addPath completes a record with the parameters of the path. A parameter that can't be
// read has made the request fail.
func addPath(c echo.Context, r *journal.Record) {
	if r.Digest.IsZero() && c.Param("digest") != "" {
		if d, err := request.Digest(c); err == nil {
			r.Digest = d
		}
	}
	if r.FileID == "" && c.Param("file") != "" {
		if id, err := request.PathParam(c, "file"); err == nil {
			r.FileID = id
		}
	}
	if r.Provider == "" && c.Param("provider") != "" {
		if name, err := request.PathParam(c, "provider"); err == nil {
			r.Provider = name
		}
	}
}

// outcome returns how a request ended, and the problem code of its failure.
func outcome(failure error, status int, aborted bool) (journal.Outcome, string) {
	switch {
	case failure == nil && !aborted && status < 400:
		return journal.OutcomeOK, ""
	case failure == nil && !aborted:
		return journal.OutcomeFailed, ""
	case failure == nil:
		return journal.OutcomeBroken, ""
	case errors.Is(failure, cas.ErrBodyRead): // the body did not come, or came too slowly
		return journal.OutcomeBroken, CodeOf(failure)
	case aborted && !isFault(failure):
		return journal.OutcomeBroken, ""
	}
	return journal.OutcomeFailed, CodeOf(failure)
}

// isFault reports whether an answer broke off by a fault of the gateway or a provider,
// and not of the connection.
func isFault(err error) bool {
	_, known := problem.CodeOf(err)
	return known || errors.Is(err, ErrPanic)
}

// CodeOf returns the problem code of a failed request.
func CodeOf(err error) string { return string(problem.Of(err, "").Code) }
