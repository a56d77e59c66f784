// Package uploadcopies begins the copies that an upload asks for with `providers`.
package uploadcopies

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"

	"casgate/gateway/api"
	"casgate/gateway/blobtarget"
	"casgate/gateway/problem"
	"casgate/gateway/record"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// Replicator makes copies.
type Replicator interface {
	// Providers returns the names of the providers that are configured, and of others
	// that are known.
	Providers() (configured, unconfigured []string)
	// Begin begins work on a copy, if it is not ready.
	Begin(ctx context.Context, q replicator.Request) (ledger.Copy, error)
}

// Requester begins copies for uploads.
type Requester struct {
	Replicator Replicator
	Recorder   *record.Recorder
	Log        zerolog.Logger
}

// FromQuery returns the providers that the query of an upload names.
func (r *Requester) FromQuery(c echo.Context) ([]string, error) {
	if !request.HasQuery(c) {
		return nil, nil
	}
	return r.Parse(c.QueryParams()["providers"]...)
}

// Parse reads lists of providers. An unknown one is an error, so that the upload is
// refused before anything is stored. One that is not configured is known: it may be
// configured at the next gateway.
func (r *Requester) Parse(lists ...string) ([]string, error) {
	configured, unconfigured := r.Replicator.Providers()
	var names []string
	for _, list := range lists {
		if list == "" {
			continue
		}
		for name := range strings.SplitSeq(list, ",") {
			switch name = strings.TrimSpace(name); {
			case name == "":
				return nil, problem.BadRequest("providers: a name is missing between commas")
			case !slices.Contains(configured, name) && !slices.Contains(unconfigured, name):
				return nil, fmt.Errorf("%w: %q; nothing was stored", providers.ErrProviderNotFound, name)
			case !slices.Contains(names, name):
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// Begin begins copies of a blob that was just uploaded, one at each of the providers. It reports errors in the answers only, since the
// upload has succeeded.
func (r *Requester) Begin(c echo.Context, of blobtarget.Target, at []string) []api.AskedCopy {
	answers := make([]api.AskedCopy, len(at))
	for i, provider := range at {
		answers[i] = r.begin(c, of, provider)
	}
	return answers
}

// begin begins one copy. It is an operation of its own.
func (r *Requester) begin(c echo.Context, of blobtarget.Target, provider string) api.AskedCopy {
	start, id, upload := time.Now(), request.OperationID(c), &request.StateOf(c).Record
	q := replicator.Request{
		Digest: of.Digest, Provider: provider, Name: of.Name, MediaType: of.MediaType, OperationID: id + "." + provider, Actor: upload.Actor, File: upload.FileID,
	}
	row, err := r.Replicator.Begin(c.Request().Context(), q)
	if err != nil || row.OperationID != q.OperationID {
		r.Recorder.RequestedCopy(q, start, err)
	}
	answer := api.AskedCopy{Provider: provider, State: string(row.State), Purpose: row.Purpose, OperationID: row.OperationID}
	if err == nil {
		return answer
	}
	p := respond.VisibleProblem(c, problem.Of(err, id))
	answer.Error = &p
	if row.State == "" {
		answer.State = string(ledger.StateFailed)
	}
	if p.Status == http.StatusInternalServerError {
		r.Log.Error().Err(err).Str("operation_id", id).Str("provider", provider).Msg("a copy that an upload asked for could not be begun")
	}
	return answer
}
