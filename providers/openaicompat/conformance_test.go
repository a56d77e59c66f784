package openaicompat_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"casgate/providers"
	"casgate/providers/openaicompat"
	"casgate/providers/providertest"
	"casgate/providers/simulator/openaisim"
)

const key = "key-Tw3nty0neC0mm0nL3tt3rs"

// simulations are the services that the presets are for, as far as is known.
var simulations = map[string]openaisim.Options{
	"openai":   {},
	"qwen":     {Purposes: []string{"file-extract", "batch"}, IDPrefix: "file-fe-", PageSize: 100},
	"deepseek": {Purposes: []string{"user_data", "text_recognition", "rich_layout_recognition"}, IDPrefix: "file-api-", NoStatus: true, Order: "fields_first", PageSize: 100},
	"mistral":  {Purposes: []string{"ocr", "batch", "fine-tune"}, NumberedPages: true, PageSize: 100},
	"xai":      {Purposes: []string{"assistants"}},
}

func TestConformance(t *testing.T) {
	for _, preset := range openaicompat.Presets() {
		t.Run(preset.Name, func(t *testing.T) {
			providertest.Run(t, providertest.Harness{
				Open: func(t *testing.T) (providers.Provider, providertest.Remote) {
					return open(t, preset, simulations[preset.Name])
				},
				Secrets:     []string{key},
				Errors:      openaisim.Errors,
				RateLimited: openaisim.RateLimited,
			})
		})
	}
}

// open returns an adapter with a simulated account of its own.
func open(t *testing.T, c openaicompat.Config, o openaisim.Options) (providers.Provider, *openaisim.Server) {
	t.Helper()
	o.Key = key
	sim := openaisim.New(o)
	return at(t, c, serve(t, sim)+openaisim.Prefix), sim
}

func serve(t *testing.T, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func at(t *testing.T, c openaicompat.Config, baseURL string) providers.Provider {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	p, err := c.Open(providers.Settings{APIKey: key, BaseURL: baseURL, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
