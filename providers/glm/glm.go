// Package glm is the adapter for the file API of the GLM models: Zhipu's BigModel,
// and Z.ai, its international host.
//
// Each fact has a tag for its source: [D] the official documentation, [L] a published
// observation of the live service, [C] the source of a public SDK, [M] inference.
package glm

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// The API's hosts. It is not documented whether one knows the files of the other.
const (
	BigModelURL = "https://open.bigmodel.cn/api/paas/v4"
	ZaiURL      = "https://api.z.ai/api/paas/v4"
)

const zaiHost = "api.z.ai"

// Settings is what an account is opened with.
type Settings struct {
	providers.Settings
	// JWT signs a token with the key for each request instead of sending the key. This
	// is the older way, and the SDKs still support it.
	JWT bool
	// Zai: the API is Z.ai's, with its purposes and limits. Z.ai's own host implies it.
	Zai bool
}

// Provider is an account at BigModel or Z.ai. It is neither a Retriever nor a
// Poller: the API has no GET /files/{id}, and files have no status [D]. It is no
// Downloader either: of the uploaded files, the API returns only those for batches
// [D].
type Provider struct {
	*openaicompat.Client
}

var (
	_ providers.Provider = (*Provider)(nil)
	_ providers.Chatter  = (*Provider)(nil)
)

// Open is New with the common settings only. It returns the interface.
func Open(s providers.Settings) (providers.Provider, error) {
	p, err := New(Settings{Settings: s})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// New returns an account. The default host is BigModelURL. New checks the settings,
// and sends nothing.
func New(s Settings) (*Provider, error) {
	if s.Zai && s.BaseURL == "" {
		s.BaseURL = ZaiURL
	}
	if u, err := url.Parse(s.BaseURL); err == nil && u.Hostname() == zaiHost {
		s.Zai = true
	}
	p := &Provider{}
	api := openaicompat.API{
		Name: "glm", BaseURL: BigModelURL,
		Purposes: purposes(s.Zai), Limits: providers.Limits{Concurrency: concurrency},
		Listing: openaicompat.PagingAfter, PageSize: pageSize, PurposeFilter: openaicompat.FilterRequired,
	}
	dialect := openaicompat.Dialect{ClassifyError: p.classifyError}
	if s.JWT {
		sign, err := signer(s.APIKey)
		if err != nil {
			name := cmp.Or(s.Name, api.Name)
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		dialect.Authorize = sign
	}
	client, err := openaicompat.NewClient(api, dialect, s.Settings)
	if err != nil {
		return nil, err
	}
	p.Client = client
	return p, nil
}

// Chat implements providers.Chatter.
func (p *Provider) Chat() providers.ChatAPI { return p.ChatAPI() }

var errNotAPair = errors.New("the API key isn't an id and a secret with a dot between, which signing needs")
