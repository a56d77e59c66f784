package kimi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"casgate/providers"
	"casgate/providers/kimi"
	"casgate/providers/providertest"
	"casgate/providers/simulator/kimisim"
)

const key = "sk-Tw3nty0neC0mm0nL3tt3rs"

func TestConformance(t *testing.T) {
	for name, options := range map[string]kimisim.Options{
		"usual":  {},
		"quirks": {LegacyIDs: true, KeepNames: true, Status: "ok", PageSize: 100, OldestFirst: true, Order: "fields_first"},
	} {
		t.Run(name, func(t *testing.T) {
			slow := options
			slow.Polls = 3
			providertest.Run(t, providertest.Harness{
				Open:       func(t *testing.T) (providers.Provider, providertest.Remote) { return open(t, options) },
				Processing: func(t *testing.T) (providers.Provider, providertest.Remote) { return open(t, slow) },
				Text: func(t *testing.T, a providertest.TextAnswer) (providers.Provider, providertest.Remote) {
					o := options
					o.Text, o.Charset, o.CharsetUnsaid = &a.Text, a.Charset, a.Undeclared
					return open(t, o)
				},
				Secrets:     []string{key, "ak-simulated"},
				Errors:      kimisim.Errors,
				RateLimited: kimisim.RateLimited,
			})
		})
	}
}

// open returns an adapter with a simulated account of its own.
func open(t *testing.T, o kimisim.Options) (*kimi.Provider, *kimisim.Server) {
	t.Helper()
	o.Key = key
	sim := kimisim.New(o)
	return at(t, serve(t, sim)+kimisim.Prefix), sim
}

func serve(t *testing.T, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func at(t *testing.T, baseURL string) *kimi.Provider {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	p, err := kimi.New(providers.Settings{APIKey: key, BaseURL: baseURL, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
