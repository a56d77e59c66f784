package chatapi

import (
	"testing"

	"github.com/rs/zerolog"

	"casgate/gateway/api"
	"casgate/providers"
	"casgate/providers/guard"
	"casgate/providers/kimi"
)

// TestSimulatedModelsSaySo: a model's owner is its provider, or the simulator in its place.
func TestSimulatedModelsSaySo(t *testing.T) {
	t.Parallel()
	for simulated, want := range map[bool]string{false: "kimi", true: "casgate-simulator"} {
		p, err := kimi.Open(providers.Settings{APIKey: "sk-0123456789", BaseURL: "http://127.0.0.1:1/v1", Simulated: simulated})
		if err != nil {
			t.Fatal(err)
		}
		c := newCatalogue(accounts{all: []providers.Guarded{guard.New(p, guard.Options{})}}, Options{}, zerolog.Nop())
		got := c.shown([]api.Model{{ID: "kimi-k2.6", OwnedBy: "moonshot"}}, Door{}, "kimi")
		if len(got) != 1 || got[0].ID != "kimi/kimi-k2.6" || got[0].OwnedBy != want {
			t.Errorf("simulated %t: %+v; want the owner %s", simulated, got, want)
		}
	}
}

// accounts is a Replicator that has accounts, and nothing else.
type accounts struct {
	Replicator
	all []providers.Guarded
}

func (a accounts) Accounts() []providers.Guarded { return a.all }

func (a accounts) Providers() (configured, unconfigured []string) { return nil, nil }
