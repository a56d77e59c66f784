package glm_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"casgate/providers"
	"casgate/providers/glm"
	"casgate/providers/providertest"
	"casgate/providers/simulator/glmsim"
)

const (
	keyID  = "0b1c2d3e4f5a"
	secret = "S3cr3tP4rtOfTheKey"
	key    = keyID + "." + secret
)

func TestConformance(t *testing.T) {
	for name, test := range map[string]struct {
		options  glmsim.Options
		settings glm.Settings
	}{
		"usual":           {},
		"quirks":          {options: glmsim.Options{FileName: true, OldestFirst: true, Order: "fields_first", MissingDelete: glmsim.Missing400}},
		"Z.ai":            {options: glmsim.Options{International: true, MissingDelete: glmsim.MissingUndeleted}, settings: glm.Settings{Zai: true}},
		"token":           {settings: glm.Settings{JWT: true}},
		"deletes blindly": {options: glmsim.Options{MissingDelete: glmsim.MissingDeleted}},
	} {
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, providertest.Harness{
				Open: func(t *testing.T) (providers.Provider, providertest.Remote) {
					return open(t, test.options, test.settings)
				},
				Secrets:        []string{key, keyID, secret},
				Errors:         glmsim.Errors,
				RateLimited:    glmsim.RateLimited,
				DeletesBlindly: test.options.MissingDelete == glmsim.MissingDeleted,
			})
		})
	}
}

// open returns an adapter with a simulated account of its own.
func open(t *testing.T, o glmsim.Options, s glm.Settings) (*glm.Provider, *glmsim.Server) {
	t.Helper()
	o.Key = key
	sim := glmsim.New(o)
	s.BaseURL = serve(t, sim) + glmsim.Prefix
	return with(t, s), sim
}

func serve(t *testing.T, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func with(t *testing.T, s glm.Settings) *glm.Provider {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	s.APIKey, s.Transport = key, transport
	p, err := glm.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
