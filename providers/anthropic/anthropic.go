// Package anthropic is the adapter for Anthropic's Files API, as it is since it left its
// beta in August 2026.
//
// Each fact has a tag for its source: [D] the official documentation, [L] a published
// observation of the live service, [C] the source of a public SDK, [3P] somebody
// else's reading of the documentation, [M] inference.
package anthropic

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// BaseURL is the API's host. Files are not available at Bedrock and Vertex [D].
const BaseURL = "https://api.anthropic.com/v1"

// apiVersion is the version of the API, which each request must name [D]. The header
// anthropic-beta is not needed any more [3P].
const apiVersion = "2023-06-01"

// general is the gateway's name for the purpose of all files: the API has no purposes
// [C].
const general = "general"

const (
	// maxFile is the size of a file: "500 MB" [D], read as the larger unit, which refuses
	// no file that Anthropic accepts.
	maxFile = 500 << 20
	// maxStorage is the size of all files of an organisation: 1 TB [3P], read as the
	// smaller unit.
	maxStorage = 1_000_000_000_000
	// perMinute is the rate limit of calls for files: five times [3P] the 100 requests of
	// the beta [D].
	perMinute = 500
	// concurrency is our choice: no limit is documented.
	concurrency = 8
	// pageSize is the maximum number of files in a page of the list [D].
	pageSize = 1000
)

// Provider is a workspace at Anthropic. Its files belong to the workspace and not to
// the key: each key of the workspace can use them [D]. It is no Poller: files have no
// status [D].
type Provider struct {
	*openaicompat.Client
}

var (
	_ providers.Provider   = (*Provider)(nil)
	_ providers.Retriever  = (*Provider)(nil)
	_ providers.Downloader = (*Provider)(nil)
)

// Open is New. It returns the interface.
func Open(s providers.Settings) (providers.Provider, error) {
	p, err := New(s)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// New returns an account. It checks the settings, and sends nothing. The settings'
// Lifetime becomes expires_in_seconds [3P]; without it, files are kept until they are
// deleted [D].
func New(s providers.Settings) (*Provider, error) {
	p := &Provider{}
	client, err := openaicompat.NewClient(openaicompat.API{
		Name: "anthropic", BaseURL: BaseURL,
		// Assumed: empty files are refused.
		// Only files that Anthropic made are downloadable [D].
		Purposes:   []providers.Purpose{{Name: general, MaxSize: maxFile, Withheld: true}},
		Limits:     providers.Limits{MaxBytes: maxStorage, PerMinute: perMinute, Concurrency: concurrency},
		NoPurposes: true,
		Expiry:     &openaicompat.Expiry{Fields: map[string]string{"expires_in_seconds": "{seconds}"}},
		Listing:    openaicompat.PagingAfterID, PageSize: pageSize,
	}, openaicompat.Dialect{
		Authorize: func(r *http.Request) {
			r.Header.Set("X-Api-Key", s.APIKey)
			r.Header.Set("Anthropic-Version", apiVersion)
		},
		ClassifyError: p.classifyError,
	}, s)
	if err != nil {
		return nil, err
	}
	p.Client = client
	return p, nil
}

// Upload implements providers.Provider. The media type of the form's file decides in
// which blocks a message can use the file [C][D].
func (p *Provider) Upload(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
	u.MediaType = storedType(u.MediaType, extensionOf(u.Name))
	return p.Client.Upload(ctx, u)
}

// Retrieve implements providers.Retriever.
func (p *Provider) Retrieve(ctx context.Context, id string) (providers.RemoteFile, error) {
	return p.Lookup(ctx, providers.OpRetrieve, id)
}

// Download implements providers.Downloader. Anthropic returns only the files that it
// made itself, with skills or code execution [D]. For an uploaded one, the error wraps
// providers.ErrNoDownload.
func (p *Provider) Download(ctx context.Context, id string) (io.ReadCloser, error) {
	body, err := p.Content(ctx, providers.OpDownload, id)
	if err == nil {
		return body, nil
	}
	// Assumed: the message says so. Neither the status nor the message is documented.
	if e, ok := errors.AsType[*providers.Error](err); ok && e.Kind == providers.KindPermanent && strings.Contains(strings.ToLower(e.Message), "downloadable") {
		e.Cause, e.Hint = providers.ErrNoDownload, "Anthropic returns only files that it made itself"
	}
	return nil, err
}
