package gemini_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"casgate/providers"
	"casgate/providers/gemini"
	"casgate/providers/providertest"
	"casgate/providers/simulator/geminisim"
)

const key = "AIzaSyTw3nty0neC0mm0nL3tt3rs-0123456789"

func TestConformance(t *testing.T) {
	for name, options := range map[string]geminisim.Options{
		"usual":  {},
		"quirks": {PageSize: 7, NumericSizes: true, Hash: geminisim.HashRaw},
	} {
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, providertest.Harness{
				Open: func(t *testing.T) (providers.Provider, providertest.Remote) { return open(t, options) },
				Processing: func(t *testing.T) (providers.Provider, providertest.Remote) {
					slow := options
					slow.Polls = 3
					return open(t, slow)
				},
				Secrets:      []string{key},
				Errors:       geminisim.Errors,
				RateLimited:  geminisim.RateLimited,
				NoPurposes:   true,
				PlainUploads: true,
				EmptyObjects: true,
			})
		})
	}
}

// open returns an adapter with a simulated project of its own.
func open(t *testing.T, o geminisim.Options) (*gemini.Provider, *geminisim.Server) {
	t.Helper()
	o.Key = key
	sim := geminisim.New(o)
	return with(t, serve(t, sim)+geminisim.Prefix), sim
}

func serve(t *testing.T, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func with(t *testing.T, base string) *gemini.Provider {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	p, err := gemini.New(providers.Settings{APIKey: key, BaseURL: base, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
