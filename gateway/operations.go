package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/providers"
)

// maxOperationID is longer than any id the gateway gives out.
const maxOperationID = 200

// getOperation answers GET /v1/operations/{id}.
func (g *Gateway) getOperation(c echo.Context) error {
	id, err := textParam(c, "id")
	if err != nil {
		return err
	}
	unknown := problem.New(problem.OperationNotFound, "There is no such operation, or it only looked, or is still under way, or its record is gone.")
	if len(id) > maxOperationID || !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl) {
		return unknown
	}
	ctx := c.Request().Context()
	row, err := g.copies.Operation(ctx, id)
	if errors.Is(err, providers.ErrCopyNotFound) {
		entry, err := g.o.Records.Record(ctx, id)
		if errors.Is(err, journal.ErrNotFound) {
			return unknown
		}
		if err != nil {
			return err
		}
		return noStore(c, http.StatusOK, endedOperation(entry.Record))
	}
	if err == nil {
		row, err = g.lastOfDelete(ctx, row, id)
	}
	if err != nil {
		return err
	}
	operation := apiOperation(id, row)
	if operation.Status == api.OperationPending || operation.Status == api.OperationRunning {
		c.Response().Header().Set(echo.HeaderRetryAfter, pollAfter)
	}
	return noStore(c, http.StatusOK, operation)
}

// endedOperation shapes an operation of which there is the record alone.
func endedOperation(r journal.Record) api.Operation {
	shown := apiRecord(r)
	o := api.Operation{ID: r.ID, Kind: string(r.Kind), Status: api.OperationSucceeded, Record: &shown}
	if r.Kind == journal.KindUnsync {
		o.Kind = api.OperationDelete // as it was called while it was under way
	}
	if r.Outcome != journal.OutcomeOK {
		o.Status = api.OperationFailed
		if shown.ErrorCode.Known() {
			p := shown.ErrorCode.Details("This is what the journal has kept of it; the log had the details under the operation id.", r.ID)
			o.Error = &p
		}
	}
	return o
}

// The most records that a page has, and how many it has where nobody says.
const (
	maxRecordPage     = 1000
	defaultRecordPage = 100
)

// maxFilter bounds a filter's text; no record has longer ones.
const maxFilter = 255

// listOperations answers GET /v1/operations.
func (g *Gateway) listOperations(c echo.Context) error {
	q, err := recordQuery(c)
	if err != nil {
		return err
	}
	limit := q.Limit
	q.Limit++ // to know whether there is a next page
	entries, err := g.o.Records.Records(c.Request().Context(), q)
	if err != nil {
		return err
	}
	page := api.RecordPage{Operations: make([]api.Record, 0, len(entries)), Newest: formatPlace(q.After), Lost: g.lostRecords()}
	if len(entries) > limit {
		entries = entries[:limit]
		page.Next = formatPlace(entries[limit-1].Cursor)
	}
	if len(entries) > 0 {
		page.Newest = formatPlace(entries[0].Cursor)
	}
	for _, entry := range entries {
		page.Operations = append(page.Operations, apiRecord(entry.Record))
	}
	return noStore(c, http.StatusOK, page)
}

// lostRecords counts the operations that this gateway could not record.
func (g *Gateway) lostRecords() uint64 {
	if g.o.Journal == nil {
		return 0
	}
	return g.o.Journal.Lost()
}

// recordQuery reads the filters of a listing of records.
func recordQuery(c echo.Context) (journal.Query, error) {
	var q journal.Query
	limit, err := intParam(c, "limit", defaultRecordPage, 1, maxRecordPage)
	if err != nil {
		return q, err
	}
	q.Limit = int(limit)
	var kind, outcome string
	for name, value := range map[string]*string{
		"kind": &kind, "actor": &q.Actor, "file": &q.FileID, "provider": &q.Provider, "outcome": &outcome,
	} {
		*value = c.QueryParam(name)
		if len(*value) > maxFilter || !utf8.ValidString(*value) || strings.ContainsFunc(*value, unicode.IsControl) {
			return q, badRequest(fmt.Sprintf("%s: that can't be in any record: %.100q", name, *value))
		}
	}
	if q.Kind = journal.Kind(kind); kind != "" && !slices.Contains(journal.Kinds, q.Kind) {
		return q, badRequest(fmt.Sprintf("kind: %q is none of %s", kind, joined(journal.Kinds)))
	}
	if q.Outcome = journal.Outcome(outcome); outcome != "" && !slices.Contains(journal.Outcomes, q.Outcome) {
		return q, badRequest(fmt.Sprintf("outcome: %q is none of %s", outcome, joined(journal.Outcomes)))
	}
	if text := c.QueryParam("digest"); text != "" {
		if q.Digest, err = cas.ParseDigest(text); err != nil {
			return q, err
		}
	}
	for name, value := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if *value, err = timeParam(c, name); err != nil {
			return q, err
		}
	}
	for name, value := range map[string]*journal.Cursor{"after": &q.Before, "following": &q.After} {
		if *value, err = placeParam(c, name); err != nil {
			return q, err
		}
	}
	return q, nil
}

func joined[T ~string](all []T) string {
	texts := make([]string, len(all))
	for i, text := range all {
		texts[i] = string(text)
	}
	return strings.Join(texts, ", ")
}

// timeParam reads a point in time from the query.
func timeParam(c echo.Context, name string) (time.Time, error) {
	text := c.QueryParam(name)
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Year() < 1970 || at.Year() > 9999 {
		return time.Time{}, badRequest(fmt.Sprintf("%s: %.100q is not a time such as 2026-11-21T20:00:00Z", name, text))
	}
	return at, nil
}

// A place among the records is for clients opaque.
func formatPlace(at journal.Cursor) string { return strconv.FormatInt(int64(at), 36) }

func placeParam(c echo.Context, name string) (journal.Cursor, error) {
	text := c.QueryParam(name)
	if text == "" {
		return 0, nil
	}
	at, err := strconv.ParseInt(text, 36, 64)
	if err != nil || at < 0 {
		return 0, badRequest(name + ": this is no place among the records; pass the `next` or `newest` of a page")
	}
	return journal.Cursor(at), nil
}

// noRecords is the journal of a gateway that keeps none.
type noRecords struct{}

func (noRecords) Records(context.Context, journal.Query) ([]journal.Entry, error) { return nil, nil }

func (noRecords) Record(context.Context, string) (journal.Entry, error) {
	return journal.Entry{}, journal.ErrNotFound
}

// lastOfDelete returns, where row was deleted, another that is still being
// deleted by the same operation, if there is one: a delete may be about several
// copies, and is over when all of them are gone.
func (g *Gateway) lastOfDelete(ctx context.Context, row providers.Copy, id string) (providers.Copy, error) {
	if row.State != providers.StateDeleted {
		return row, nil
	}
	all, err := g.copies.Copies(ctx, row.Digest)
	for _, other := range all {
		if other.OperationID == id && other.State == providers.StateDeleting {
			return other, nil
		}
	}
	return row, err
}

// apiOperation says how far the work on a copy is.
func apiOperation(id string, row providers.Copy) api.Operation {
	shown := apiCopy(row)
	o := api.Operation{ID: id, Kind: api.OperationSync, Copy: &shown}
	switch row.State {
	case providers.StatePending:
		o.Status = api.OperationPending
	case providers.StateReady, providers.StateEvicted, providers.StateLost:
		o.Status = api.OperationSucceeded // what became of the file later is another story
	case providers.StateFailed:
		o.Status = api.OperationFailed
	case providers.StateDeleting:
		o.Kind, o.Status = api.OperationDelete, api.OperationRunning
	case providers.StateDeleted:
		o.Kind, o.Status = api.OperationDelete, api.OperationSucceeded
	default: // uploading, processing
		o.Status = api.OperationRunning
	}
	if o.Status != api.OperationSucceeded && row.Error != nil {
		p := problem.Of(row.Error, id)
		o.Error = &p
	}
	return o
}
