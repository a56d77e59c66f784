// Package kimi is the adapter for Kimi (Moonshot AI).
//
// Each fact has a tag for its source: [D] the official documentation, [L] a published
// observation of the live service, [C] the source of a public SDK, [3P] somebody
// else's reading of the documentation, [M] inference.
package kimi

import (
	"context"
	"regexp"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// The API's hosts. Each has its own accounts, keys and files [D].
const (
	ChinaURL  = "https://api.moonshot.cn/v1"
	GlobalURL = "https://api.moonshot.ai/v1"
)

// Provider is an account at Kimi. It is no Downloader: for a document Kimi returns the
// extracted text instead of its bytes, and for images and videos nothing [D].
type Provider struct {
	*openaicompat.Client
}

var (
	_ providers.Provider      = (*Provider)(nil)
	_ providers.Retriever     = (*Provider)(nil)
	_ providers.Poller        = (*Provider)(nil)
	_ providers.TextExtractor = (*Provider)(nil)
	_ providers.Chatter       = (*Provider)(nil)
)

// accessKey matches the access key in Kimi's messages about limits:
// "Your account org-…<ak-…> request reached…" [D].
var accessKey = regexp.MustCompile(`<ak[^>]*>?`)

// Open is New. It returns the interface.
func Open(s providers.Settings) (providers.Provider, error) {
	p, err := New(s)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// New returns an account. The default host is ChinaURL. New checks the settings, and
// sends nothing.
func New(s providers.Settings) (*Provider, error) {
	p := &Provider{}
	client, err := openaicompat.NewClient(openaicompat.API{
		Name: "kimi", BaseURL: ChinaURL,
		Inline:   []string{"image_url", "video_url"}, // as data: URLs [D]
		Purposes: purposes(),
		Limits:   providers.Limits{MaxFiles: maxFiles, MaxBytes: maxBytes, Concurrency: concurrency},
		// No query parameter is documented; has_more and last_id have been seen [L].
		// Assumed: after asks for the next page, as at OpenAI.
		Listing: openaicompat.PagingAfter, PurposeFilter: openaicompat.FilterUnsupported,
		RenamesDuplicates: true, // since 2026-08-31 [3P]
	}, openaicompat.Dialect{
		Status:        status,
		FailureCode:   failureCode,
		ClassifyError: p.classifyError,
		Private:       accessKey,
	}, s)
	if err != nil {
		return nil, err
	}
	p.Client = client
	return p, nil
}

// status reads a file's status. The documentation has no list of statuses. "ok",
// "ready" and "error" have been seen [L]; "created" and "failed" are in the source of
// agno, which polls [C]. So an unknown status means that the processing goes on.
func status(word string) providers.Status {
	switch word {
	case "ok", "ready", "processed", "success":
		return providers.StatusReady
	case "error", "failed":
		return providers.StatusFailed
	}
	return providers.StatusProcessing
}

// Chat implements providers.Chatter.
func (p *Provider) Chat() providers.ChatAPI { return p.ChatAPI() }

// Retrieve implements providers.Retriever.
func (p *Provider) Retrieve(ctx context.Context, id string) (providers.RemoteFile, error) {
	return p.Lookup(ctx, providers.OpRetrieve, id)
}

// Poll implements providers.Poller.
func (p *Provider) Poll(ctx context.Context, id string) (providers.RemoteFile, error) {
	return p.Lookup(ctx, providers.OpPoll, id)
}
