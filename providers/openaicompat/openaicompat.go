// Package openaicompat is the adapter for providers with an OpenAI-like file API. A
// Config describes such a provider and opens an account there. Presets returns the
// known ones.
//
// Other adapters build on its HTTP client: Client uploads, deletes and lists files,
// and classifies the outcome of each call.
package openaicompat

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"casgate/providers"
)

// Provider is an account at a provider that a Config describes. It has no optional
// ability; the types that Config.Open returns have those that the Config names.
type Provider struct {
	*Client
	references []Reference
}

var _ providers.Provider = (*Provider)(nil)

// Open opens the preset that the settings name.
func Open(s providers.Settings) (providers.Provider, error) {
	for _, preset := range Presets() {
		if preset.Name == s.Name {
			return preset.Open(s)
		}
	}
	return nil, fmt.Errorf("there is no preset for a provider %q; there are %s", s.Name, strings.Join(presetNames(), ", "))
}

// Open opens an account. It sends nothing.
func (c Config) Open(s providers.Settings) (providers.Provider, error) {
	p, err := c.New(s)
	if err != nil {
		return nil, err
	}
	return c.withAbilities(p), nil
}

// New returns an account without any optional ability. It checks the Config and the
// settings, and sends nothing.
func (c Config) New(s providers.Settings) (*Provider, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	dialect := Dialect{ClassifyError: classifyError}
	if c.Processes {
		dialect.Status = processingUntilDone
	}
	if c.Inline == nil {
		c.Inline = []string{"image_url"}
	}
	client, err := NewClient(c.API, dialect, s)
	if err != nil {
		return nil, err
	}
	return &Provider{client, c.References}, nil
}

// processingUntilDone reads the status of providers that process files after the
// upload. An unknown status means that the processing goes on.
func processingUntilDone(word string) providers.Status {
	switch word {
	case "processed", "ready", "ok", "success", "succeeded", "active", "completed":
		return providers.StatusReady
	case "error", "failed":
		return providers.StatusFailed
	}
	return providers.StatusProcessing
}

// References implements providers.Provider.
func (p *Provider) References(mediaType, extension string) []providers.ReferenceKind {
	t := p.fileType(mediaType, extension)
	var kinds []providers.ReferenceKind
	for _, r := range p.references {
		if r.fits(p.purpose(r.Purpose), t) {
			kinds = append(kinds, r.kind())
		}
	}
	return kinds
}

// fileType returns the type of a file. Where the media type is not known, the extension
// tells it.
func (p *Provider) fileType(mediaType, extension string) providers.FileType {
	return providers.TypeOf("file"+extension, "", mediaType)
}

// Reference implements providers.Provider.
func (p *Provider) Reference(kind providers.ReferenceKind, m providers.Material) ([]byte, error) {
	i := slices.IndexFunc(p.references, func(r Reference) bool { return r.kind() == kind })
	if i < 0 {
		return nil, p.NoReference(kind)
	}
	if err := p.CheckMaterial(kind, m); err != nil {
		return nil, err
	}
	return p.references[i].build(m)
}

// The optional abilities of a provider. An ability is a method, so each set of
// abilities needs a type.
type (
	retriever  struct{ retrieved *Client }
	poller     struct{ polled *Client }
	downloader struct{ downloaded *Client }
)

// Retrieve implements providers.Retriever.
func (r retriever) Retrieve(ctx context.Context, id string) (providers.RemoteFile, error) {
	return r.retrieved.Lookup(ctx, providers.OpRetrieve, id)
}

// Poll implements providers.Poller.
func (p poller) Poll(ctx context.Context, id string) (providers.RemoteFile, error) {
	return p.polled.Lookup(ctx, providers.OpPoll, id)
}

// Download implements providers.Downloader.
func (d downloader) Download(ctx context.Context, id string) (io.ReadCloser, error) {
	return d.downloaded.Content(ctx, providers.OpDownload, id)
}

func (c Config) withAbilities(p *Provider) providers.Provider {
	r, l, d := retriever{p.Client}, poller{p.Client}, downloader{p.Client}
	switch {
	case c.Processes && c.Download:
		return struct {
			*Provider
			retriever
			poller
			downloader
		}{p, r, l, d}
	case c.Processes:
		return struct {
			*Provider
			retriever
			poller
		}{p, r, l}
	case c.Retrieve && c.Download:
		return struct {
			*Provider
			retriever
			downloader
		}{p, r, d}
	case c.Retrieve:
		return struct {
			*Provider
			retriever
		}{p, r}
	case c.Download:
		return struct {
			*Provider
			downloader
		}{p, d}
	}
	return p
}

// classifyError refines an error by the codes and messages of OpenAI and similar
// providers, which say more than the HTTP status.
func classifyError(e *providers.Error, p ErrorBody) {
	message := strings.ToLower(p.Message)
	switch code := strings.ToLower(cmp.Or(p.Code, p.Type)); {
	case code == "insufficient_quota", code == "billing_hard_limit_reached", code == "billing_not_active", code == "arrearage":
		// The first three are OpenAI's, the last is DashScope's.
		e.Kind, e.TooMany = providers.KindQuota, false
		e.Hint = "check the account's plan and billing"
	case code == "quotaexceeded", strings.Contains(message, "file storage quota"), // Azure, OpenAI
		strings.Contains(message, "quota for files"):
		e.Kind, e.TooMany = providers.KindQuota, true
		e.Hint = "delete files at the provider"
	case code == "content_filter", code == "content_policy_violation":
		e.Kind = providers.KindPermanent
		e.Hint = "the provider refuses the content of the file"
	case code == "rate_limit_exceeded", strings.HasPrefix(code, "throttling"): // OpenAI; DashScope, with whatever status
		e.Kind, e.TooMany = providers.KindTransient, true
	case code == "invalidapikey", code == "invalid_api_key", code == "unsupported_country_region_territory":
		e.Kind = providers.KindAuth
	case e.Status == http.StatusBadRequest && strings.Contains(message, "too large"):
		e.Hint = "split the file, or make it smaller"
	}
}
