package replicator

import (
	"context"
	"maps"
	"slices"

	"casgate/providers"
	"casgate/providers/ledger"
)

// ProviderStatus is what is known of a provider, without asking it.
type ProviderStatus struct {
	providers.Description
	providers.Health
	// Configured: there is a key. Without one only the provider's name is known.
	Configured bool
	// Advice says how to configure it, where it isn't.
	Advice string
	Usage  []ledger.Usage
}

// Status returns what is known of a provider.
func (r *Replicator) Status(ctx context.Context, provider string) (ProviderStatus, error) {
	p, err := r.account(provider)
	if err != nil {
		if advice, ok := r.o.Unconfigured[provider]; ok {
			return ProviderStatus{Description: providers.Description{Provider: provider}, Advice: advice}, nil
		}
		return ProviderStatus{}, err
	}
	s := ProviderStatus{Description: p.Describe(), Health: p.Health(), Configured: true}
	s.Usage, err = r.ledger.CopyUsage(ctx, s.Account)
	return s, err
}

// Providers returns the names of all providers: those configured, in their order,
// then the others.
func (r *Replicator) Providers() (configured, unconfigured []string) {
	return r.names, slices.Sorted(maps.Keys(r.o.Unconfigured))
}

// Accounts returns the accounts at the providers configured, in their order: for
// what they can do, and how they fare.
func (r *Replicator) Accounts() []providers.Guarded {
	accounts := make([]providers.Guarded, len(r.names))
	for i, name := range r.names {
		accounts[i] = r.accounts[name]
	}
	return accounts
}
