// Package kimi keeps files at Kimi (Moonshot AI).
//
// Facts are tagged with where they come from: [D] the official documentation, [L]
// seen on the live service by somebody who published it, [C] read in a public
// SDK's source, [3P] someone else's reading of the documentation, [M] inference.
package kimi

import (
	"context"
	"regexp"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// The API's hosts. Accounts, keys and files of one mean nothing at the other [D].
const (
	ChinaURL  = "https://api.moonshot.cn/v1"
	GlobalURL = "https://api.moonshot.ai/v1"
)

// Provider is an account at Kimi. It is no Downloader: what Kimi gives as the content
// of a document is its text, and of images and videos nothing [D].
type Provider struct {
	*openaicompat.Files
}

var (
	_ providers.Provider      = (*Provider)(nil)
	_ providers.Retriever     = (*Provider)(nil)
	_ providers.Poller        = (*Provider)(nil)
	_ providers.TextExtractor = (*Provider)(nil)
)

// accessKey is how Kimi quotes the access key in messages about limits:
// "Your account org-…<ak-…> request reached…" [D].
var accessKey = regexp.MustCompile(`<ak[^>]*>?`)

// Open is New for those who need no more than the interface.
func Open(s providers.Settings) (providers.Provider, error) {
	p, err := New(s)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// New returns an account, at ChinaURL unless the settings say otherwise. It checks
// the settings, and sends nothing.
func New(s providers.Settings) (*Provider, error) {
	p := &Provider{}
	files, err := openaicompat.NewFiles(openaicompat.API{
		Name: "kimi", BaseURL: ChinaURL,
		Purposes: purposes(),
		MaxFiles: maxFiles, MaxBytes: maxBytes, Concurrency: concurrency,
		// No query parameter is documented; has_more and last_id have been seen [L]. That
		// the next page is asked for with after is assumed, as OpenAI has it.
		Listing: openaicompat.Listing{Paging: openaicompat.PagingAfter},
		Status:  status,
		Judge:   p.judge,
		Private: accessKey,
	}, s)
	if err != nil {
		return nil, err
	}
	p.Files = files
	return p, nil
}

// status reads a file's status. The documentation has no list of them; "ok",
// "ready" and "error" have been seen [L], "created" and "failed" are in the source
// of agno, which polls [C]. So what isn't known means that work goes on.
func status(word string) providers.Status {
	switch word {
	case "ok", "ready", "processed", "success":
		return providers.StatusReady
	case "error", "failed":
		return providers.StatusFailed
	}
	return providers.StatusProcessing
}

// Retrieve implements providers.Retriever.
func (p *Provider) Retrieve(ctx context.Context, id string) (providers.RemoteFile, error) {
	return p.Lookup(ctx, providers.OpRetrieve, id)
}

// Poll implements providers.Poller.
func (p *Provider) Poll(ctx context.Context, id string) (providers.RemoteFile, error) {
	return p.Lookup(ctx, providers.OpPoll, id)
}
