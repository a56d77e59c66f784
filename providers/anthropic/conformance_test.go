package anthropic_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/anthropic"
	"casgate/providers/providertest"
	"casgate/providers/simulator/anthropicsim"
)

const key = "sk-ant-api03-Tw3nty0neC0mm0nL3tt3rs"

func TestConformance(t *testing.T) {
	for name, test := range map[string]struct {
		options  anthropicsim.Options
		lifetime time.Duration
	}{
		"usual":  {},
		"quirks": {options: anthropicsim.Options{OldestFirst: true, PageSize: 100, Scoped: true}, lifetime: 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, providertest.Harness{
				Open: func(t *testing.T) (providers.Provider, providertest.Remote) {
					return open(t, test.options, providers.Settings{Lifetime: test.lifetime})
				},
				Secrets:          []string{key},
				Errors:           anthropicsim.Errors,
				RateLimited:      anthropicsim.RateLimited,
				NoPurposes:       true,
				ForbiddenInNames: anthropicsim.ForbiddenInNames,
				ReturnsGenerated: true,
			})
		})
	}
}

// open returns an adapter with a simulated workspace of its own.
func open(t *testing.T, o anthropicsim.Options, s providers.Settings) (*anthropic.Provider, *anthropicsim.Server) {
	t.Helper()
	if o.Keys == nil {
		o.Keys = []string{key}
	}
	sim := anthropicsim.New(o)
	s.BaseURL = serve(t, sim) + anthropicsim.Prefix
	return with(t, s), sim
}

func serve(t *testing.T, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func with(t *testing.T, s providers.Settings) *anthropic.Provider {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	if s.APIKey == "" {
		s.APIKey = key
	}
	s.Transport = transport
	p, err := anthropic.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
