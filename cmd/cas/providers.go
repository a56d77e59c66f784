package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/index"
	"casgate/providers"
	"casgate/providers/glm"
	"casgate/providers/guard"
	"casgate/providers/kimi"
	"casgate/providers/openaicompat"
	"casgate/providers/simulator/glmsim"
	"casgate/providers/simulator/kimisim"
)

// adapter is a provider that can be configured by its environment variables.
type adapter struct {
	name string
	open func(providers.Settings) (providers.Provider, error)
	// simulate returns a simulator, and where on it the API begins; nil: there is none.
	simulate func(key string) (handler http.Handler, prefix string)
}

// adapters are the providers there are: one line for each.
var adapters = []adapter{
	{"kimi", kimi.Open, func(key string) (http.Handler, string) { return kimisim.New(kimisim.Options{Key: key}), kimisim.Prefix }},
	{"glm", glm.Open, func(key string) (http.Handler, string) { return glmsim.New(glmsim.Options{Key: key}), glmsim.Prefix }},
	{"openai", openaicompat.Open, nil},
	{"qwen", openaicompat.Open, nil},
	{"deepseek", openaicompat.Open, nil},
	{"mistral", openaicompat.Open, nil},
	{"xai", openaicompat.Open, nil},
}

// variable returns the name of a provider's environment variable.
func (a adapter) variable(setting string) string {
	return "CAS_" + strings.ReplaceAll(strings.ToUpper(a.name), "-", "_") + "_" + setting
}

// The settings that each provider has.
var providerSettings = []string{"API_KEY", "BASE_URL", "CONCURRENCY", "PER_MINUTE"}

// providersConfig says which providers there are, and how copies are kept there.
// The providers' own settings are environment variables named after them.
type providersConfig struct {
	Simulate      bool          `name:"simulate-providers" help:"Play Kimi and GLM with simulators in this process, for first steps without keys; on a loopback address only."`
	ProvidersFile string        `name:"providers-file" env:"CAS_PROVIDERS_FILE" help:"JSON file with a list of further providers that have an OpenAI-like file API." placeholder:"FILE"`
	CopyEviction  string        `name:"copy-eviction" env:"CAS_COPY_EVICTION" default:"lru" enum:"lru,off" help:"When an account is full: lru removes the copies there that were used least recently, off answers 507."`
	CopyWait      time.Duration `name:"copy-wait" env:"CAS_COPY_WAIT" default:"60s" help:"How long a request waits for a copy to be made before it is answered 202."`
	ReferenceURLs string        `name:"reference-urls" env:"CAS_REFERENCE_URLS" default:"gateway" enum:"gateway,bucket" help:"What URLs handed to providers point at: gateway (CAS_PUBLIC_URL), or bucket (presigned); the provider must be able to reach it."`
}

// openProvider is an account that is configured.
type openProvider struct {
	adapter  providers.Provider
	settings adapter
}

// openProviders opens the accounts that are configured. The advice returned is for
// the providers that could be and are not. Stop ends the simulators.
func (c providersConfig) openProviders(log zerolog.Logger) (open []openProvider, advice map[string]string, stop func(), err error) {
	all := adapters
	if c.ProvidersFile != "" {
		own, err := readProviders(c.ProvidersFile)
		if err != nil {
			return nil, nil, nil, exit.With(exit.Usage, err)
		}
		all = append(all[:len(all):len(all)], own...)
	}
	advice = make(map[string]string)
	var simulators []net.Listener
	stop = func() {
		for _, ln := range simulators {
			ln.Close()
		}
	}
	for _, a := range all {
		key, err := settings.LookupSecret(a.variable("API_KEY"))
		switch {
		case err != nil:
		case key != "" && c.Simulate:
			err = fmt.Errorf("%s is set: with --simulate-providers there must be no key, so that nobody takes simulated copies for real ones", a.variable("API_KEY"))
		case key == "" && c.Simulate && a.simulate != nil:
			var ln net.Listener
			var p providers.Provider
			if p, ln, err = simulate(a); err == nil {
				simulators = append(simulators, ln)
				open = append(open, openProvider{p, a})
				log.Warn().Str("provider", a.name).Msg("SIMULATED: " + a.name + " is played by a simulator in this process; its copies are good for nothing but trying casgate out")
			}
		case key == "":
			advice[a.name] = "set " + a.variable("API_KEY") + " (or " + a.variable("API_KEY_FILE") + ") and restart the gateway"
		default:
			var p providers.Provider
			p, err = a.open(providers.Settings{Name: a.name, APIKey: key, BaseURL: os.Getenv(a.variable("BASE_URL"))})
			if err != nil {
				err = fmt.Errorf("%w (see %s and %s)", err, a.variable("API_KEY"), a.variable("BASE_URL"))
			} else {
				open = append(open, openProvider{p, a})
			}
		}
		if err != nil {
			stop()
			return nil, nil, nil, exit.With(exit.Usage, err)
		}
	}
	return open, advice, stop, nil
}

// readProviders reads a list of providers that are described rather than
// programmed.
func readProviders(path string) ([]adapter, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("CAS_PROVIDERS_FILE: %w", err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, fmt.Errorf("CAS_PROVIDERS_FILE: %s is not a JSON list of providers: %w", path, err)
	}
	var own []adapter
	for _, item := range list {
		config, err := openaicompat.Parse(item)
		if err != nil {
			return nil, fmt.Errorf("CAS_PROVIDERS_FILE: %s: %w", path, err)
		}
		for _, a := range append(adapters[:len(adapters):len(adapters)], own...) {
			if a.name == config.Name {
				return nil, fmt.Errorf("CAS_PROVIDERS_FILE: %s: there is a provider %s already; choose another name", path, config.Name)
			}
		}
		own = append(own, adapter{name: config.Name, open: config.Open})
	}
	return own, nil
}

// simulate starts a simulator of a provider, and opens an account there that is
// like no other: what earlier starts left in the index is not taken for its own.
func simulate(a adapter) (providers.Provider, net.Listener, error) {
	// The form of GLM's keys, which the others don't mind.
	key := "simulated-" + rand.Text() + "." + rand.Text()
	handler, prefix := a.simulate(key)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("start the simulator of %s: %w", a.name, err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(ln) }() // until the listener is closed
	p, err := a.open(providers.Settings{Name: a.name, APIKey: key, BaseURL: "http://" + ln.Addr().String() + prefix, Simulated: true})
	if err != nil {
		ln.Close()
		return nil, nil, err
	}
	return p, ln, nil
}

// guarded puts the decorators around an account.
func (p openProvider) guarded(registry prometheus.Registerer, log zerolog.Logger) (*guard.Guard, error) {
	o := guard.Options{Observe: guard.ObserveOptions{Registry: registry, Log: log}}
	for setting, into := range map[string]*int{"CONCURRENCY": &o.Limit.Concurrency, "PER_MINUTE": &o.Limit.PerMinute} {
		text := os.Getenv(p.settings.variable(setting))
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, exit.Usagef("%s is %q; it must be a number, 1 or more", p.settings.variable(setting), text)
		}
		*into = n
	}
	return guard.New(p.adapter, o), nil
}

// copies is the part of a gateway that keeps copies at providers.
type copies struct {
	*providers.Replicator
	guards []*guard.Guard
	stop   func() // ends the simulators
}

// hooks are what tests change about the making of copies: they kill the process at
// a step, and don't wait long for the next one to take up its work.
var hooks struct {
	onStep              func(providers.Step)
	lease, pollInterval time.Duration
}

// openCopies opens the providers and puts the replicator together.
func (c providersConfig) openCopies(o providers.Options, registry prometheus.Registerer) (*copies, error) {
	open, advice, stop, err := c.openProviders(o.Log)
	if err != nil {
		return nil, err
	}
	all := &copies{stop: stop}
	for _, p := range open {
		g, err := p.guarded(registry, o.Log)
		if err != nil {
			stop()
			return nil, err
		}
		all.guards = append(all.guards, g)
		o.Providers = append(o.Providers, g)
	}
	o.Unconfigured = advice
	o.NoEviction = c.CopyEviction == "off"
	o.Registry = registry
	o.OnStep, o.Lease, o.PollInterval = hooks.onStep, hooks.lease, hooks.pollInterval
	if all.Replicator, err = providers.NewReplicator(o); err != nil {
		stop()
		return nil, exit.With(exit.Usage, err)
	}
	return all, nil
}

// Close ends the work on copies, and the simulators.
func (c *copies) Close() {
	c.Replicator.Close()
	c.stop()
}

// names lists the providers that are configured, for the log.
func (c *copies) names() string {
	names, _ := c.Providers()
	return cmp.Or(strings.Join(names, ", "), "none")
}

// simulated reports whether any provider is a simulator.
func (c *copies) simulated() bool {
	for _, g := range c.guards {
		if g.Describe().Simulated {
			return true
		}
	}
	return false
}

var errSimulateElsewhere = exit.Usagef("--simulate-providers is allowed on a loopback address only: nobody else may take its copies for real ones")

// listener is what a feed must tell of the changes that other gateways make.
func (c *copies) listener() index.Listener {
	return index.Listener{CopiesChanged: c.Changed, Gap: c.ChangedAll}
}

// run does the background work until ctx is done.
func (c *copies) run(ctx context.Context, start func(func() error)) {
	start(func() error { return untilDone(ctx, c.Run(ctx)) })
	for _, g := range c.guards {
		start(func() error { return untilDone(ctx, g.Run(ctx)) })
	}
}
