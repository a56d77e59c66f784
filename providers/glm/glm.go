// Package glm keeps files at Zhipu's BigModel, and at Z.ai, its international
// host: the home of the GLM models.
//
// Facts are tagged with where they come from: [D] the official documentation, [L]
// seen on the live service by somebody who published it, [C] read in a public
// SDK's source, [M] inference.
package glm

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// The API's hosts. Whether files of one are known at the other is not documented.
const (
	BigModelURL = "https://open.bigmodel.cn/api/paas/v4"
	ZaiURL      = "https://api.z.ai/api/paas/v4"
)

const zaiHost = "api.z.ai"

// Settings is what an account is opened with.
type Settings struct {
	providers.Settings
	// JWT signs a token from the key for each request instead of sending the key: the
	// older way, which the SDKs still have.
	JWT bool
	// Zai: the API is Z.ai's, with its purposes and limits. It is implied by Z.ai's
	// own host.
	Zai bool
}

// Provider is an account at BigModel or Z.ai. It is neither a Retriever nor a
// Poller: there is no GET /files/{id}, and files have no status [D]. It is no
// Downloader either, since of the files it takes it gives back only those for
// batches [D].
type Provider struct {
	*openaicompat.Files
}

var _ providers.Provider = (*Provider)(nil)

// Open is New for those who need no more than the interface and the usual
// settings.
func Open(s providers.Settings) (providers.Provider, error) {
	p, err := New(Settings{Settings: s})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// New returns an account, at BigModelURL unless the settings say otherwise. It
// checks the settings, and sends nothing.
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
		Purposes: purposes(s.Zai), Concurrency: concurrency,
		Listing: openaicompat.Listing{Paging: openaicompat.PagingAfter, PageSize: pageSize, NeedsPurpose: true},
		Judge:   p.judge,
	}
	if s.JWT {
		sign, err := signer(s.APIKey)
		if err != nil {
			name := cmp.Or(s.Name, api.Name)
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		api.Authorize = sign
	}
	files, err := openaicompat.NewFiles(api, s.Settings)
	if err != nil {
		return nil, err
	}
	p.Files = files
	return p, nil
}

var errNotAPair = errors.New("the API key isn't an id and a secret with a dot between, which signing needs")
