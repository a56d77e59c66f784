package operationapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"casgate/cas/journal"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
)

// pageSize is the number of records on a page.
var pageSize = request.IntRange{Default: 100, Min: 1, Max: 1000}

// maxFilter bounds a filter's text, in bytes; no record has longer ones.
const maxFilter = 255

// List answers GET /v1/operations.
func (h *Handlers) List(c echo.Context) error {
	q, err := recordQuery(c)
	if err != nil {
		return err
	}
	limit := q.Limit
	q.Limit++ // to know whether there is a next page
	newest := q.After
	next, err := h.bound(c.Request().Context(), &q)
	if err != nil {
		return err
	}
	entries, err := h.Journal.Records(c.Request().Context(), q)
	if err != nil {
		return err
	}
	page := api.RecordPage{Operations: make([]api.Record, 0, len(entries)), Newest: formatPlace(newest), Off: h.Lost == nil}
	if !page.Off {
		page.Lost = h.Lost()
	}
	if len(entries) > limit {
		entries = entries[:limit]
		next = entries[limit-1].Cursor
	}
	if next != 0 {
		page.Next = formatPlace(next)
	}
	if len(entries) > 0 {
		page.Newest = formatPlace(entries[0].Cursor)
	}
	for _, entry := range entries {
		page.Operations = append(page.Operations, showRecord(entry.Record))
	}
	return respond.JSON(c, http.StatusOK, page)
}

// listWindow is the number of records that a page looks at, if its filter has no index in
// the order of the list.
const listWindow = 10_000

// bound limits a query for records before a time to those of a window, from the newest
// on, since those after that time may be very many. It returns where to go on after the
// window; 0: there is nothing there.
func (h *Handlers) bound(ctx context.Context, q *journal.Query) (next journal.Cursor, err error) {
	if q.Until.IsZero() || !q.Since.IsZero() || q.IsNarrow() {
		return 0, nil
	}
	first, err := h.newestBefore(ctx, *q, q.Before)
	if err != nil || first <= listWindow {
		return 0, err
	}
	window := first - listWindow
	if window <= q.After {
		return 0, nil
	}
	// There may be large gaps: the next page begins where there is a record.
	last, err := h.newestBefore(ctx, *q, window+1)
	q.Before, q.After = first+1, window
	if err != nil || last == 0 {
		return 0, err
	}
	return last + 1, nil
}

// newestBefore returns the place of the newest record before a place, after q.After; 0 if
// there is none.
func (h *Handlers) newestBefore(ctx context.Context, q journal.Query, before journal.Cursor) (journal.Cursor, error) {
	entries, err := h.Journal.Records(ctx, journal.Query{Limit: 1, Before: before, After: q.After})
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	return entries[0].Cursor, nil
}

// showRecord shapes a record.
func showRecord(r journal.Record) api.Record {
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
		Count:      r.Count,
	}
	if !r.LastStart.IsZero() {
		shown.LastStartedAt = new(r.LastStart.UTC())
	}
	if !r.Digest.IsZero() {
		shown.Digest = &r.Digest
	}
	return shown
}

// recordQuery reads the filters of a list.
func recordQuery(c echo.Context) (journal.Query, error) {
	var q journal.Query
	if err := request.CheckOnce(c); err != nil {
		return q, err
	}
	limit, err := request.Int(c, "limit", pageSize)
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
			return q, request.BadParam(name, fmt.Sprintf("that can't be in any record: %.100q", *value))
		}
	}
	if q.Kind = journal.Kind(kind); kind != "" && !slices.Contains(journal.Kinds, q.Kind) {
		return q, request.BadParam("kind", fmt.Sprintf("%q is none of %s", kind, joined(journal.Kinds)))
	}
	if q.Outcome = journal.Outcome(outcome); outcome != "" && !slices.Contains(journal.Outcomes, q.Outcome) {
		return q, request.BadParam("outcome", fmt.Sprintf("%q is none of %s", outcome, joined(journal.Outcomes)))
	}
	if text := c.QueryParam("digest"); text != "" {
		if q.Digest, err = request.DigestFilter(text); err != nil {
			return q, problem.WithParam("digest", err)
		}
	}
	for name, value := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if *value, err = request.Time(c, name); err != nil {
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

// A place among the records is opaque to clients.
func formatPlace(at journal.Cursor) string { return strconv.FormatInt(int64(at), 36) }

func placeParam(c echo.Context, name string) (journal.Cursor, error) {
	text := c.QueryParam(name)
	if text == "" {
		return 0, nil
	}
	at, err := strconv.ParseInt(text, 36, 64)
	if err != nil || at < 0 {
		return 0, request.BadParam(name, "this is no place among the records; pass the `next` or `newest` of a page")
	}
	return journal.Cursor(at), nil
}
