package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/providers"
)

// listProviders answers GET /v1/providers.
func (g *Gateway) listProviders(c echo.Context) error {
	configured, others := g.copies.Providers()
	list := api.ProviderList{Providers: []api.Provider{}}
	for _, name := range slices.Concat(configured, others) {
		status, err := g.copies.Status(c.Request().Context(), name)
		if err != nil {
			return err
		}
		list.Providers = append(list.Providers, apiProvider(status))
	}
	return noStore(c, http.StatusOK, list)
}

// getProvider answers GET /v1/providers/{provider}.
func (g *Gateway) getProvider(c echo.Context) error {
	name, err := textParam(c, "provider")
	if err != nil {
		return err
	}
	status, err := g.copies.Status(c.Request().Context(), name)
	if err != nil {
		return err
	}
	return noStore(c, http.StatusOK, apiProvider(status))
}

func apiProvider(s providers.ProviderStatus) api.Provider {
	p := api.Provider{
		Name:       s.Provider,
		Configured: s.Configured,
		Advice:     s.Advice,
		Simulated:  s.Simulated,
		Account:    s.Account,
		Host:       s.Host,
		Available:  s.Available,
		Breaker:    s.Breaker,
		LastCheck:  timeIfAny(s.LastCheck),
		LastError:  apiProviderError(s.LastError),
		MaxFiles:   s.MaxFiles,
		MaxBytes:   s.MaxBytes,
	}
	for _, about := range s.Purposes {
		purpose := api.Purpose{
			Name:       about.Name,
			Extensions: about.Extensions,
			MaxSize:    about.MaxSize,
			MaxSizeOf:  about.SizeOf,
			MaxFiles:   about.MaxFiles,
			MaxBytes:   about.MaxBytes,
			Lifetime:   about.LifetimeSeconds,
		}
		for _, u := range s.Usage {
			if u.Purpose == about.Name {
				purpose.Files, purpose.Bytes = u.Files, u.Bytes
			}
		}
		p.Purposes = append(p.Purposes, purpose)
	}
	for _, u := range s.Usage { // also of purposes that are not among those any more
		p.Files += u.Files
		p.Bytes += u.Bytes
	}
	return p
}

// reconcile answers POST /v1/providers/{provider}/reconcile.
func (g *Gateway) reconcile(c echo.Context) error {
	name, err := textParam(c, "provider")
	if err != nil {
		return err
	}
	apply, err := boolParam(c, "apply")
	if err != nil {
		return err
	}
	report, err := g.copies.Reconcile(c.Request().Context(), name, apply)
	if err != nil {
		return err
	}
	answer := api.Reconciliation{
		Provider:  report.Provider,
		Account:   report.Account,
		Applied:   report.Applied,
		Remote:    report.Remote,
		Rows:      report.Rows,
		Unknown:   make([]api.RemoteFile, len(report.Unknown)),
		Gone:      apiCopies(report.Gone),
		Elsewhere: apiCopies(report.Elsewhere),
		Foreign:   report.Foreign,
	}
	for i, f := range report.Unknown {
		answer.Unknown[i] = api.RemoteFile{ID: f.ID, Name: f.Name, Size: f.Size, Purpose: f.Purpose, CreatedAt: timeIfAny(f.CreatedAt)}
	}
	for _, err := range report.Failures {
		g.log.Warn().Err(err).Str("operation_id", operationID(c)).Str("provider", name).Msg("a reconciliation could not mend everything")
		answer.Failures = append(answer.Failures, problem.Of(err, operationID(c)).Detail)
	}
	return noStore(c, http.StatusOK, answer)
}

// isSimulated reports whether a provider is played by a simulator.
func (g *Gateway) isSimulated(provider string) bool {
	return slices.ContainsFunc(g.copies.Accounts(), func(p providers.Guarded) bool {
		about := p.Describe()
		return about.Provider == provider && about.Simulated
	})
}

// providerHealth says how the providers fare, without asking them, and warns of
// simulated ones.
func (g *Gateway) providerHealth() (health map[string]string, warning string) {
	var simulated []string
	for _, p := range g.copies.Accounts() {
		about := p.Describe()
		text := healthText(p.Health())
		if about.Simulated {
			simulated = append(simulated, about.Provider)
			if text == "ok" {
				text = "simulated"
			}
		}
		if health == nil {
			health = make(map[string]string)
		}
		health[about.Provider] = text
	}
	if len(simulated) > 0 {
		warning = fmt.Sprintf("SIMULATED: %s. Copies made there exist in this process only, and their ids are good for nothing.", strings.Join(simulated, ", "))
	}
	return health, warning
}

// healthText is ok, or says what is wrong with a provider in words that give
// nothing away.
func healthText(h providers.Health) string {
	switch {
	case h.Breaker == providers.BreakerHalfOpen:
		return "being tried again after failures"
	case h.Breaker == providers.BreakerOpen:
		text := "breaker open"
		if !h.LastCheck.IsZero() {
			text += ", last checked " + h.LastCheck.UTC().Format(time.RFC3339)
		}
		if h.RetryAfter > 0 {
			text += fmt.Sprintf(", tried again in %d s", int((h.RetryAfter+time.Second-1)/time.Second))
		}
		return text
	case !h.Available && h.LastError != nil && h.LastError.Kind == providers.KindAuth:
		return "the key is refused"
	case !h.Available:
		return "unavailable"
	}
	return "ok"
}
