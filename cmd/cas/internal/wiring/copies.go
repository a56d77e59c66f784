package wiring

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/service"
	"casgate/cmd/cas/internal/settings"
	"casgate/index"
	"casgate/providers/guard"
	"casgate/providers/replicator"
)

// Copies is the part of a gateway that keeps copies at providers.
type Copies struct {
	*replicator.Replicator
	guards []*guard.Guard
	stop   func() // ends the simulators
}

// OpenCopies opens the providers and the replicator. The caller must close them.
func OpenCopies(c settings.Providers, o replicator.Options, registry prometheus.Registerer) (*Copies, error) {
	accounts, err := openAccounts(c, o.Log)
	if err != nil {
		return nil, err
	}
	all := &Copies{stop: accounts.stop}
	for _, p := range accounts.open {
		g, err := p.guarded(registry, o)
		if err != nil {
			accounts.stop()
			return nil, err
		}
		all.guards = append(all.guards, g)
		o.Providers = append(o.Providers, g)
	}
	o.Unconfigured = accounts.advice
	o.NoEviction = c.CopyEviction == "off"
	o.Registry = registry
	if all.Replicator, err = replicator.New(o); err != nil {
		accounts.stop()
		return nil, exit.With(exit.Usage, err)
	}
	return all, nil
}

// Close ends the work on copies and the simulators.
func (c *Copies) Close() {
	c.Replicator.Close()
	c.stop()
}

// Names returns the names of the configured providers, for logs.
func (c *Copies) Names() string {
	names, _ := c.Providers()
	return cmp.Or(strings.Join(names, ", "), "none")
}

// Simulated reports whether a provider is a simulator.
func (c *Copies) Simulated() bool {
	for _, g := range c.guards {
		if g.Describe().Simulated {
			return true
		}
	}
	return false
}

// ErrSimulateElsewhere refuses simulators on an address that other machines reach.
var ErrSimulateElsewhere = exit.Usagef("--simulate-providers is allowed only on a loopback address, so that simulated copies are never mistaken for real ones")

// Listener returns the listener for changes that other gateways make.
func (c *Copies) Listener() index.Listener {
	return index.Listener{CopiesChanged: c.Changed, Gap: c.ChangedAll}
}

// Start starts the background work, which ends when ctx is done.
func (c *Copies) Start(ctx context.Context, start func(func() error)) {
	start(func() error { return service.UntilDone(ctx, c.Run(ctx)) })
	for _, g := range c.guards {
		start(func() error { return service.UntilDone(ctx, g.Run(ctx)) })
	}
}

// AccountOf returns the account of a provider that the settings name, without a call to
// the provider.
func AccountOf(c settings.Providers, provider string) (string, error) {
	accounts, err := openAccounts(c, zerolog.Nop())
	if err != nil {
		return "", err
	}
	defer accounts.stop()
	for _, p := range accounts.open {
		if d := p.adapter.Describe(); d.Provider == provider {
			return d.Account, nil
		}
	}
	if _, ok := accounts.advice[provider]; ok {
		return "", exit.With(exit.Unavailable, fmt.Errorf("there is no key for %s; run the command with the gateway's settings, such as %s (or %[2]s_FILE)", provider, ProviderVariable(provider, "API_KEY")))
	}
	return "", exit.With(exit.NotFound, fmt.Errorf("there is no provider %q; `cas providers` lists all", provider))
}
