package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/providers"
)

// pollAfter is when, in seconds, to look again after work that was only begun.
const pollAfter = "1"

// noCopies is the ledger of a gateway that keeps no copies: it has no rows. With
// no provider beside it nothing else is asked of it.
type noCopies struct{ providers.Ledger }

func (noCopies) Copies(context.Context, cas.Digest) ([]providers.Copy, error) { return nil, nil }

func (noCopies) CopyOfOperation(context.Context, string) (providers.Copy, error) {
	return providers.Copy{}, providers.ErrCopyNotFound
}

// putCopy answers PUT /v1/blobs/{digest}/copies/{provider}.
func (g *Gateway) putCopy(c echo.Context) error {
	q, err := g.copyRequest(c)
	if err != nil {
		return err
	}
	if q.Retry, err = boolParam(c, "retry"); err != nil {
		return err
	}
	prefer := parsePrefer(c.Request().Header["Prefer"])
	patience := prefer.patience(g.o.CopyWait)
	if patience == 0 {
		return g.answerBegun(c, q, prefer)
	}
	ctx := g.waiting(c.Request(), patience)
	defer ctx.end()
	made, created, err := g.copies.Ensure(ctx, q)
	if err != nil && hasRunOut(ctx, c) {
		return g.answerBegun(c, q, prefer)
	}
	return g.answerCopy(c, made, created, prefer, notFoundDetail(err, q.Digest))
}

// postLost answers POST /v1/blobs/{digest}/copies/{provider}/lost.
func (g *Gateway) postLost(c echo.Context) error {
	q, err := g.copyRequest(c)
	if err != nil {
		return err
	}
	var report api.LostReport
	if err := readOptionalJSON(c, &report); err != nil {
		return err
	}
	// What the caller saw has to be checked first; only then is there work that may be
	// left to itself.
	ctx := g.waitingLong(c.Request())
	defer ctx.end()
	made, created, err := g.copies.ReportLost(ctx, q, report.ProviderFileID)
	if errors.Is(err, providers.ErrCopyInProgress) && hasRunOut(ctx, c) {
		return g.answerBegun(c, q, preference{})
	}
	return g.answerCopy(c, made, created, preference{}, notFoundDetail(err, q.Digest))
}

// hasRunOut reports whether a wait is over that its client would have gone on
// with.
func hasRunOut(wait context.Context, c echo.Context) bool {
	return wait.Err() != nil && c.Request().Context().Err() == nil
}

// answerCopy answers 200 with a copy that is ready.
func (g *Gateway) answerCopy(c echo.Context, made providers.Copy, created bool, prefer preference, err error) error {
	if err != nil {
		return err
	}
	noteCopy(c, made)
	if applied := prefer.applied(false); applied != "" {
		c.Response().Header().Set("Preference-Applied", applied)
	}
	return sendCopy(c, made, created)
}

// noteCopy notes the bytes of a copy that a request has made, for the journal: those
// of others count with the operation that made them.
func noteCopy(c echo.Context, made providers.Copy) {
	if made.OperationID == operationID(c) {
		aboutOf(c).bytes = made.Size
	}
}

// answerBegun sees to it that a copy is being made, and answers 202 with the copy
// as it is, unless it is ready, or nobody works on it and it has to be said why.
func (g *Gateway) answerBegun(c echo.Context, q providers.Request, prefer preference) error {
	row, err := g.copies.Begin(c.Request().Context(), q)
	if row.OperationID == q.OperationID {
		aboutOf(c).silent = true // its end leaves the record, or has
	}
	if err != nil {
		return notFoundDetail(err, q.Digest)
	}
	if row.State == providers.StateReady {
		return g.answerCopy(c, row, false, prefer, nil)
	}
	if applied := prefer.applied(true); applied != "" {
		c.Response().Header().Set("Preference-Applied", applied)
	}
	return g.answerAccepted(c, row.OperationID, apiCopy(row))
}

// answerAccepted answers 202, and where to learn how the work goes.
func (g *Gateway) answerAccepted(c echo.Context, operation string, answer any) error {
	h := c.Response().Header()
	h.Set(echo.HeaderLocation, g.o.PublicURL+"/v1/operations/"+url.PathEscape(operation))
	h.Set(echo.HeaderRetryAfter, pollAfter)
	return noStore(c, http.StatusAccepted, answer)
}

// listCopies answers GET /v1/blobs/{digest}/copies. The copies of a blob that was
// deleted are still there to be known, and removed.
func (g *Gateway) listCopies(c echo.Context) error {
	of, err := g.subjectOf(c)
	if err != nil {
		return err
	}
	d, ctx := of.digest, c.Request().Context()
	copies, err := g.copies.Copies(ctx, d)
	if err != nil {
		return err
	}
	if len(copies) == 0 && c.Param("file") == "" {
		if _, err := g.store.Blob(ctx, d); err != nil {
			return notFoundDetail(err, d)
		}
	}
	return noStore(c, http.StatusOK, api.CopyList{Copies: apiCopies(copies)})
}

// getCopy answers GET /v1/blobs/{digest}/copies/{provider}.
func (g *Gateway) getCopy(c echo.Context) error {
	of, err := g.subjectOf(c)
	if err != nil {
		return err
	}
	q, err := copyRequest(c, of)
	if err != nil {
		return err
	}
	row, err := g.knownCopy(c, of, q)
	if err != nil {
		return notFoundDetail(err, q.Digest)
	}
	return noStore(c, http.StatusOK, apiCopy(row))
}

// knownCopy returns the copy that a request is about. As for a blob, where it names
// neither purpose nor name, and there is no copy of the usual ones, the newest will
// do.
func (g *Gateway) knownCopy(c echo.Context, of subject, q providers.Request) (providers.Copy, error) {
	if of.digest.IsZero() {
		return providers.Copy{}, errNotTakenIn()
	}
	ctx := c.Request().Context()
	row, err := g.copies.Copy(ctx, q)
	if errors.Is(err, providers.ErrCopyNotFound) && of.name != "" && q.Purpose == "" && c.QueryParam("name") == "" {
		q.Name = ""
		return g.copies.Copy(ctx, q)
	}
	return row, err
}

// deleteCopies answers DELETE /v1/blobs/{digest}/copies/{provider}.
func (g *Gateway) deleteCopies(c echo.Context) error {
	q, err := g.copyRequest(c)
	if err != nil {
		return err
	}
	copies, err := g.copies.Remove(c.Request().Context(), q)
	if err != nil {
		return notFoundDetail(err, q.Digest)
	}
	answer := api.CopyList{Copies: apiCopies(copies)}
	for _, row := range copies {
		if row.State == providers.StateDeleting && row.OperationID == q.OperationID {
			aboutOf(c).silent = true // its end leaves the record
		}
	}
	for _, row := range copies {
		if row.State == providers.StateDeleting {
			return g.answerAccepted(c, row.OperationID, answer)
		}
	}
	return noStore(c, http.StatusOK, answer)
}

// copyRequest reads what all requests about copies have in common, and sees to it
// that there are bytes to copy.
func (g *Gateway) copyRequest(c echo.Context) (providers.Request, error) {
	of, err := g.subjectWithBytes(c)
	if err != nil {
		return providers.Request{}, err
	}
	return copyRequest(c, of)
}

func copyRequest(c echo.Context, of subject) (providers.Request, error) {
	a := aboutOf(c)
	a.digest = of.digest
	q := providers.Request{OperationID: operationID(c), Actor: a.actor, File: c.Param("file"), Digest: of.digest, Name: of.name}
	var err error
	if q.Provider, err = textParam(c, "provider"); err != nil {
		return q, err
	}
	if c.Request().URL.RawQuery != "" {
		q.Purpose = c.QueryParam("purpose")
		var name string
		if name, err = cleanName(c.QueryParam("name")); name != "" {
			q.Name = name
		}
	}
	return q, err
}

// textParam reads a part of the path that a client may have percent-encoded.
func textParam(c echo.Context, name string) (string, error) {
	text := c.Param(name)
	if !strings.Contains(text, "%") {
		return text, nil
	}
	text, err := url.PathUnescape(text)
	if err != nil {
		return "", badRequest("the path is not valid percent-encoding")
	}
	return text, nil
}

// simulatedAccount is how the fingerprints of simulated accounts begin, see
// providers.Settings.
const simulatedAccount = "simulated-"

func apiCopy(c providers.Copy) api.Copy {
	return api.Copy{
		Digest:         c.Digest,
		Provider:       c.Provider,
		Account:        c.Account,
		Purpose:        c.Purpose,
		Extension:      c.Extension,
		State:          string(c.State),
		ProviderFileID: c.FileID,
		Name:           c.Name,
		Size:           c.Size,
		CreatedAt:      c.CreatedAt.UTC(),
		ReadyAt:        timeIfAny(c.ReadyAt),
		LastUsedAt:     timeIfAny(c.LastUsedAt),
		ExpiresAt:      timeIfAny(c.ExpiresAt),
		NextAttemptAt:  timeIfAny(c.NextAttemptAt),
		Attempts:       c.Attempts,
		Error:          apiProviderError(c.Error),
		OperationID:    c.OperationID,
		Simulated:      isSimulatedCopy(&c),
	}
}

func isSimulatedCopy(c *providers.Copy) bool { return strings.HasPrefix(c.Account, simulatedAccount) }

// apiCopies never returns nil, which JSON would show as null.
func apiCopies(copies []providers.Copy) []api.Copy {
	all := make([]api.Copy, len(copies))
	for i, c := range copies {
		all[i] = apiCopy(c)
	}
	return all
}

func timeIfAny(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func apiProviderError(e *providers.Error) *api.ProviderError {
	if e == nil {
		return nil
	}
	return &api.ProviderError{Kind: string(e.Kind), Status: e.Status, Code: e.Code, Message: e.Message, Hint: e.Hint}
}
