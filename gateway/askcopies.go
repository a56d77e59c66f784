package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/providers"
)

// askedProviders reads which providers an upload asks for copies at, and refuses
// unknown ones while nothing is stored yet. One that is merely not configured is
// known: it may be on the next gateway.
func (g *Gateway) askedProviders(c echo.Context) ([]string, error) {
	if c.Request().URL.RawQuery == "" {
		return nil, nil
	}
	return g.knownProviders(c.QueryParams()["providers"])
}

// knownProviders reads lists of providers.
func (g *Gateway) knownProviders(lists []string) ([]string, error) {
	configured, others := g.copies.Providers()
	var asked []string
	for _, list := range lists {
		if list == "" {
			continue
		}
		for name := range strings.SplitSeq(list, ",") {
			switch name = strings.TrimSpace(name); {
			case name == "":
				return nil, badRequest("providers: a name is missing between commas")
			case !slices.Contains(configured, name) && !slices.Contains(others, name):
				return nil, fmt.Errorf("%w: %q; nothing was stored", providers.ErrProviderNotFound, name)
			case !slices.Contains(asked, name):
				asked = append(asked, name)
			}
		}
	}
	return asked, nil
}

// askCopies asks for copies of a blob that was just taken in. It reports what came
// of each: the blob is stored, whatever happens here.
func (g *Gateway) askCopies(c echo.Context, d cas.Digest, name string, asked []string) []api.AskedCopy {
	answers := make([]api.AskedCopy, len(asked))
	for i, provider := range asked {
		// One request asks for several copies, and each is an operation of its own.
		start, a := time.Now(), aboutOf(c)
		q := providers.Request{
			Digest: d, Provider: provider, Name: name, OperationID: operationID(c) + "." + provider, Actor: a.actor, File: a.fileID,
		}
		row, err := g.copies.Begin(c.Request().Context(), q)
		if err != nil || row.OperationID != q.OperationID {
			g.journalAsked(q, start, err)
		}
		answers[i] = api.AskedCopy{Provider: provider, State: string(row.State), Purpose: row.Purpose, OperationID: row.OperationID}
		if err == nil {
			continue
		}
		p := problem.Of(err, operationID(c))
		if row.State == "" {
			answers[i].State = string(providers.StateFailed)
		}
		answers[i].Error = &p
		if p.Status == http.StatusInternalServerError {
			g.log.Error().Err(err).Str("operation_id", operationID(c)).Str("provider", provider).Msg("a copy that an upload asked for could not be begun")
		}
	}
	return answers
}
