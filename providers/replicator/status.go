package replicator

import (
	"context"
	"maps"
	"slices"

	"casgate/providers"
	"casgate/providers/ledger"
)

// ProviderStatus is the known data of a provider. It needs no call to the provider.
type ProviderStatus struct {
	providers.Description
	providers.Health
	// Configured: the provider has a key. Without one only its name is known.
	Configured bool
	// Advice says how to configure it, if it isn't configured.
	Advice string
	Usage  []ledger.Usage
	// Census counts the files in the provider's list. It is taken when the account is
	// full, and by a reconcile. Its time is zero if there is none yet.
	Census Census
}

// Status returns the status of a provider, or ErrProviderNotFound.
func (r *Replicator) Status(ctx context.Context, provider string) (ProviderStatus, error) {
	p, err := r.account(provider)
	if err != nil {
		if advice, ok := r.o.Unconfigured[provider]; ok {
			return ProviderStatus{Description: providers.Description{Provider: provider}, Advice: advice}, nil
		}
		return ProviderStatus{}, err
	}
	s := ProviderStatus{Description: p.Describe(), Health: p.Health(), Configured: true}
	s.Census = r.censuses.lastOf(s.Account)
	s.Usage, err = r.ledger.CopyUsage(ctx, s.Account)
	return s, err
}

// Providers returns the names of all providers: those configured, in their order,
// then the others.
func (r *Replicator) Providers() (configured, unconfigured []string) {
	return r.names, slices.Sorted(maps.Keys(r.o.Unconfigured))
}

// Accounts returns the configured accounts, in their order.
func (r *Replicator) Accounts() []providers.Guarded {
	accounts := make([]providers.Guarded, len(r.names))
	for i, name := range r.names {
		accounts[i] = r.accounts[name]
	}
	return accounts
}
