package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/providers"
)

// JournalIndex is where the journal's records are read.
type JournalIndex interface {
	// Records returns a page, newest first.
	Records(ctx context.Context, q journal.Query) ([]journal.Entry, error)
	// Record returns the newest record of an operation, or journal.ErrNotFound.
	Record(ctx context.Context, id string) (journal.Entry, error)
}

// endpoint is a method and a route's template.
type endpoint struct{ method, route string }

// operationKinds are the requests that leave a record, with its kind. All others
// only look.
var operationKinds = map[endpoint]journal.Kind{
	{http.MethodPost, "/v1/blobs"}:                                  journal.KindUpload,
	{http.MethodPut, "/v1/blobs/:digest"}:                           journal.KindUpload,
	{http.MethodGet, "/v1/blobs/:digest"}:                           journal.KindDownload,
	{http.MethodGet, "/v1/blobs/:digest/text"}:                      journal.KindDownload,
	{http.MethodGet, "/v1/blobs/:digest/copies/:provider/content"}:  journal.KindDownload,
	{http.MethodDelete, "/v1/blobs/:digest"}:                        journal.KindDelete,
	{http.MethodPut, "/v1/blobs/:digest/copies/:provider"}:          journal.KindSync,
	{http.MethodPost, "/v1/blobs/:digest/copies/:provider/lost"}:    journal.KindSync,
	{http.MethodGet, "/v1/blobs/:digest/references/:provider"}:      journal.KindSync,
	{http.MethodDelete, "/v1/blobs/:digest/copies/:provider"}:       journal.KindUnsync,
	{http.MethodPost, filesPath}:                                    journal.KindUpload,
	{http.MethodGet, filesPath + "/:file/content"}:                  journal.KindDownload,
	{http.MethodGet, filesPath + "/:file/text"}:                     journal.KindDownload,
	{http.MethodGet, filesPath + "/:file/copies/:provider/content"}: journal.KindDownload,
	{http.MethodDelete, filesPath + "/:file"}:                       journal.KindDelete,
	{http.MethodPut, filesPath + "/:file/copies/:provider"}:         journal.KindSync,
	{http.MethodPost, filesPath + "/:file/copies/:provider/lost"}:   journal.KindSync,
	{http.MethodGet, filesPath + "/:file/references/:provider"}:     journal.KindSync,
	{http.MethodDelete, filesPath + "/:file/copies/:provider"}:      journal.KindUnsync,
	{http.MethodPost, "/v1/providers/:provider/reconcile"}:          journal.KindReconcile,
}

// about is what a handler knows of the operation that its request is, beyond what
// the path says.
type about struct {
	actor    string // who asks; empty until they were let in
	digest   cas.Digest
	fileID   string
	provider string
	bytes    int64 // moved to a provider
	// silent: the request leaves no record. What it asked for goes on, and does so at
	// its end; or nothing was done.
	silent bool
	// failure is what the request failed with, whatever its client was told.
	failure error
}

// aboutOf returns what is known of a request's operation, for handlers to add to.
func aboutOf(c echo.Context) *about { return &exchangeOf(c).about }

// journalRequest records a request that was an operation and has ended. One that
// was not let in was none: everybody can send those, and as many as they like.
func (g *Gateway) journalRequest(c echo.Context, x *exchange, start time.Time, took time.Duration, bytesIn, bytesOut int64, aborted bool) {
	a := &x.about
	if g.o.Journal == nil || a.actor == "" || a.silent || c.Response().Status == http.StatusNotModified {
		return
	}
	kind := operationKinds[endpoint{c.Request().Method, c.Path()}]
	if kind == "" {
		return
	}
	if _, left := errors.AsType[providers.Left](a.failure); left {
		return // CopyEvent does
	}
	r := journal.Record{
		ID: x.id[0], Kind: kind, Actor: a.actor, Digest: a.digest, FileID: a.fileID, Provider: a.provider,
		Start: start, Duration: took, Bytes: a.bytes,
	}
	r.Outcome, r.ErrorCode = outcomeOf(a.failure, c.Response().Status, aborted)
	if a.failure != nil && isClientGone(c, a.failure) { // whatever else came of that
		r.Outcome, r.ErrorCode = journal.OutcomeBroken, ""
	}
	switch {
	case kind == journal.KindUpload:
		r.Bytes = bytesIn
	case kind == journal.KindDownload && c.Response().Status < 400:
		r.Bytes = bytesOut
	}
	fromPath(c, &r)
	g.o.Journal.Add(r)
}

// fromPath completes a record with what the path says. What can't be read there
// the request has failed for.
func fromPath(c echo.Context, r *journal.Record) {
	if r.Digest.IsZero() && c.Param("digest") != "" {
		if d, err := digestParam(c); err == nil {
			r.Digest = d
		}
	}
	if r.FileID == "" && c.Param("file") != "" {
		if id, err := textParam(c, "file"); err == nil {
			r.FileID = id
		}
	}
	if r.Provider == "" && c.Param("provider") != "" {
		if name, err := textParam(c, "provider"); err == nil {
			r.Provider = name
		}
	}
}

// outcomeOf says how a request ended.
func outcomeOf(failure error, status int, aborted bool) (journal.Outcome, string) {
	switch {
	case failure == nil && !aborted && status < 400:
		return journal.OutcomeOK, ""
	case failure == nil && !aborted:
		return journal.OutcomeFailed, ""
	case failure == nil:
		return journal.OutcomeBroken, ""
	case errors.Is(failure, cas.ErrBodyRead): // it didn't come, or too slowly
		return journal.OutcomeBroken, codeOf(failure)
	case aborted && !isFault(failure):
		return journal.OutcomeBroken, ""
	}
	return journal.OutcomeFailed, codeOf(failure)
}

// isFault reports whether it is the gateway's fault, or a provider's, and not the
// connection's, that an answer broke off.
func isFault(err error) bool {
	_, known := problem.CodeOf(err)
	return known || errors.Is(err, errPanic)
}

func codeOf(err error) string { return string(problem.Of(routingError(err), "").Code) }

// CopyEvent records the end of work on a copy that no request was told of. It is
// to be the OnEvent of the Replicator in Options.Copies.
func (g *Gateway) CopyEvent(e providers.Event) {
	r := journal.Record{
		ID: e.OperationID, Kind: eventKinds[e.Kind], Actor: e.Actor, Digest: e.Copy.Digest, FileID: e.File, Provider: e.Copy.Provider,
		Start: e.Start, Duration: time.Since(e.Start), Outcome: journal.OutcomeOK,
	}
	if r.Actor == "" {
		r.Actor = journal.ActorGateway
	}
	if e.Err != nil {
		r.Outcome, r.ErrorCode = journal.OutcomeFailed, codeOf(e.Err)
	} else if e.Kind == providers.EventSynced {
		r.Bytes = e.Copy.Size
	}
	g.journalOwn(r, e.Err)
}

var eventKinds = map[providers.EventKind]journal.Kind{
	providers.EventSynced:  journal.KindSync,
	providers.EventDeleted: journal.KindUnsync,
	providers.EventEvicted: journal.KindEvict,
}

// journalOwn records, and logs, an operation that is no request.
func (g *Gateway) journalOwn(r journal.Record, err error) {
	event := g.log.Info()
	if err != nil {
		event = g.log.Warn().Err(err)
	}
	event.Str("operation_id", r.ID).Str("kind", string(r.Kind)).Str("actor", r.Actor).Stringer("digest", r.Digest).
		Str("file", r.FileID).Str("provider", r.Provider).Int64("took_us", r.Duration.Microseconds()).Msg("operation")
	if g.o.Journal != nil {
		g.o.Journal.Add(r)
	}
}

// FileTakenIn records that the bytes of an imported file were taken in on first
// access, or could not be. It is to be the TookIn of Options.Files.
func (g *Gateway) FileTakenIn(f cas.File, began time.Time, err error) {
	r := journal.Record{Kind: journal.KindBackfill, Digest: f.Digest, FileID: f.ID, Bytes: f.Size}
	if err != nil {
		r.Bytes = 0
	}
	g.journalByItself(r, began, err)
}

// FileExpired records that a file has reached its end. It is to be the Expired of
// Options.Files.
func (g *Gateway) FileExpired(f cas.File) {
	g.journalByItself(journal.Record{Kind: journal.KindExpire, Digest: f.Digest, FileID: f.ID}, time.Now(), nil)
}

// keyMade records that there is a key to sign URLs with.
func (g *Gateway) keyMade(id string, began time.Time) {
	g.journalByItself(journal.Record{ID: id, Kind: journal.KindKeyMade}, began, nil)
}

// journalByItself records what the gateway does by itself. What that is about, where
// it is neither blob nor file, is in the record's ID, and comes behind the
// operation's.
func (g *Gateway) journalByItself(r journal.Record, began time.Time, err error) {
	id := newOperationID()
	if r.ID != "" {
		id += "." + r.ID
	}
	r.ID, r.Actor, r.Start, r.Duration = id, journal.ActorGateway, began, time.Since(began)
	r.Outcome, r.ErrorCode = outcomeOf(err, http.StatusOK, false)
	g.journalOwn(r, err)
}

// journalAsked records a copy that an upload asked for where there is nothing more
// to come of it: it is there, is another operation's, or can't be made.
func (g *Gateway) journalAsked(q providers.Request, start time.Time, err error) {
	r := journal.Record{
		ID: q.OperationID, Kind: journal.KindSync, Actor: q.Actor, Digest: q.Digest, FileID: q.File, Provider: q.Provider,
		Start: start, Duration: time.Since(start),
	}
	r.Outcome, r.ErrorCode = outcomeOf(err, http.StatusOK, false)
	g.journalOwn(r, err)
}

// apiRecord shapes a record.
func apiRecord(r journal.Record) api.Record {
	shown := api.Record{
		ID:         r.ID,
		Kind:       string(r.Kind),
		Actor:      r.Actor,
		FileID:     r.FileID,
		Provider:   r.Provider,
		StartedAt:  r.Start.UTC(),
		DurationMS: float64(r.Duration.Microseconds()) / 1000,
		Bytes:      r.Bytes,
		Outcome:    string(r.Outcome),
		ErrorCode:  problem.Code(r.ErrorCode),
	}
	if !r.Digest.IsZero() {
		shown.Digest = &r.Digest
	}
	return shown
}
