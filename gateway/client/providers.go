package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"casgate/gateway/api"
)

// Providers returns what the gateway knows of all providers.
func (c *Client) Providers(ctx context.Context) ([]api.Provider, error) {
	var list api.ProviderList
	err := c.doJSON(ctx, &request{method: http.MethodGet, path: "/v1/providers", mayRetry: always}, &list)
	return list.Providers, err
}

func providerPath(provider string) string { return "/v1/providers/" + url.PathEscape(provider) }

// Provider returns what the gateway knows of a provider.
func (c *Client) Provider(ctx context.Context, provider string) (api.Provider, error) {
	var found api.Provider
	err := c.doJSON(ctx, &request{method: http.MethodGet, path: providerPath(provider), mayRetry: always}, &found)
	return found, err
}

// ReconcileOptions say what to do with the differences that Reconcile finds.
type ReconcileOptions struct {
	// Apply repairs them; without it nothing is changed.
	Apply bool
}

// Reconcile compares what the gateway knows of a provider's files with what the
// provider lists.
func (c *Client) Reconcile(ctx context.Context, provider string, o ReconcileOptions) (api.Reconciliation, error) {
	var report api.Reconciliation
	err := c.doJSON(ctx, &request{
		method: http.MethodPost, path: providerPath(provider) + "/reconcile",
		query:    url.Values{"apply": {strconv.FormatBool(o.Apply)}},
		mayRetry: always, patient: true,
	}, &report)
	return report, err
}
