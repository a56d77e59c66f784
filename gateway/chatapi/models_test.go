package chatapi

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"casgate/gateway/api"
	"casgate/gateway/problem"
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
		c, err := newCatalogue(accounts{all: []providers.Guarded{guard.New(p, guard.Options{})}}, Options{}, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
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

// chatting is an account with chats, and nothing else.
type chatting struct {
	providers.Guarded
	name string
}

func (p chatting) Describe() providers.Description { return providers.Description{Provider: p.name} }

func (p chatting) Chat() providers.ChatAPI {
	return providers.ChatAPI{ModelsURL: "http://" + p.name + "/models", Authorize: func(*http.Request) {}}
}

// TestNamesWhileAListIsUnknown: a model's name alone does not reach another provider while
// the list of one can't be had, and does soon after the list is there.
func TestNamesWhileAListIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := map[string]int{"kimi": 500, "glm": 200, "bare": 404}
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			name := r.URL.Host
			return &http.Response{StatusCode: status[name], Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"data":[{"id":"shared"},{"id":"` + name + `-1"}]}`))}, nil
		})
		c, err := newCatalogue(accounts{all: []providers.Guarded{chatting{name: "kimi"}, chatting{name: "glm"}, chatting{name: "bare"}}}, Options{Transport: transport}, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		want := func(model, provider string, code problem.Code) {
			t.Helper()
			got, err := c.find(t.Context(), Door{}, model)
			if code == "" && err == nil && got.provider == provider {
				return
			}
			if err == nil || problem.Of(err, "").Code != code {
				t.Errorf("%s: %s, %v; want %s%s", model, got.provider, err, provider, code)
			}
		}
		for _, model := range []string{"shared", "glm-1", "kimi-1", "nothing"} {
			want(model, "", "provider_unavailable")
		}
		want("glm/glm-1", "glm", "")
		status["kimi"] = 200
		time.Sleep(listRetrySoon) // of the bubble's clock
		want("shared", "", "model_not_found")
		want("nothing", "", "model_not_found")
		want("glm-1", "glm", "")
		want("kimi-1", "kimi", "")
		status["kimi"] = 500
		time.Sleep(listLife)
		want("kimi-1", "kimi", "") // by the old list
	})
}

// TestOddLists: one odd entry in a provider's list costs no others, and none counts twice.
func TestOddLists(t *testing.T) {
	t.Parallel()
	transport := roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"data":[{"id":7},"x",null,{"id":""},{"id":"a","created":"x"},{"id":"a"},{"id":"b"}]}`))}, nil
	})
	c, err := newCatalogue(accounts{all: []providers.Guarded{chatting{name: "kimi"}}}, Options{Transport: transport}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	models, err := c.list(t.Context(), "kimi")
	if err != nil || len(models) != 2 || models[0].ID != "a" || models[1].ID != "b" {
		t.Errorf("%+v, %v", models, err)
	}
}

// TestOldLists: a list that has had its time is used while a fresh one is asked for, unless
// it is very old.
func TestOldLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		transport := roundTrip(func(*http.Request) (*http.Response, error) {
			asked++
			name := fmt.Sprintf("model-%d", asked)
			time.Sleep(2 * time.Second) // of the bubble's clock
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"data":[{"id":"` + name + `"}]}`))}, nil
		})
		c, err := newCatalogue(accounts{all: []providers.Guarded{chatting{name: "kimi"}}}, Options{Transport: transport}, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		want := func(model string, wait time.Duration) {
			t.Helper()
			began := time.Now()
			models, err := c.list(t.Context(), "kimi")
			if err != nil || len(models) != 1 || models[0].ID != model || time.Since(began) != wait {
				t.Errorf("%v, %v after %v; want %s after %v", models, err, time.Since(began), model, wait)
			}
		}
		want("model-1", 2*time.Second)
		want("model-1", 0)
		time.Sleep(listLife)
		want("model-1", 0)
		want("model-1", 0) // the list is asked for once
		time.Sleep(2 * time.Second)
		synctest.Wait()
		want("model-2", 0)
		time.Sleep(listOld)
		want("model-3", 2*time.Second)
	})
}

// TestNamesAtAProvidersDoor: a model's name there is the provider's own, whatever it is.
func TestNamesAtAProvidersDoor(t *testing.T) {
	t.Parallel()
	c, err := newCatalogue(accounts{all: []providers.Guarded{chatting{name: "kimi"}}}, Options{Aliases: map[string]string{"gpt-4o": "kimi/k2"}}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"k2", "kimi/odd", "glm/k2", "gpt-4o"} {
		if got, err := c.find(t.Context(), Door{Provider: "kimi"}, name); err != nil || got.provider != "kimi" || got.model != name {
			t.Errorf("%s: %s of %q, %v", name, got.model, got.provider, err)
		}
	}
}

// TestUnreadableLists: a list that can't be read will not be better soon, so the error for a
// model's name alone is final, and says how to name the provider.
func TestUnreadableLists(t *testing.T) {
	t.Parallel()
	for name, list := range map[string]string{"no JSON": "<html>", "too large": `{"data":[` + strings.Repeat(" ", maxList) + `]}`} {
		transport := roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(list))}, nil
		})
		c, err := newCatalogue(accounts{all: []providers.Guarded{chatting{name: "kimi"}}}, Options{Transport: transport}, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.find(t.Context(), Door{}, "k2")
		if d := problem.Of(err, ""); d.Code != problem.ModelNotFound || d.Retryable || !strings.Contains(d.Detail, "kimi/k2") || !strings.Contains(d.Detail, "can't be read") {
			t.Errorf("%s: %+v", name, d)
		}
		if got, err := c.find(t.Context(), Door{}, "kimi/k2"); err != nil || got.model != "k2" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestListedAliases: an alias is listed once, also if it has the name of a model, and not at
// all if its provider is not here.
func TestListedAliases(t *testing.T) {
	t.Parallel()
	transport := roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"data":[{"id":"k1"},{"id":"k2"}]}`))}, nil
	})
	aliases := map[string]string{"kimi/k1": "kimi/k2", "small": "kimi/k1", "absent": "glm/g1"}
	c, err := newCatalogue(accounts{all: []providers.Guarded{chatting{name: "kimi"}}}, Options{Transport: transport, Aliases: aliases}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	models, err := (&Handlers{models: c}).visibleModels(t.Context(), Door{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range models {
		ids = append(ids, m.ID)
	}
	if got := strings.Join(ids, " "); got != "kimi/k1 small kimi/k2" {
		t.Errorf("listed: %s", got)
	}
}
