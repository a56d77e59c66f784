// Package gemini is the adapter for the Files API of Google's Gemini API. Its uploads are
// resumable, its files have names that an upload can choose, and they live 48 hours.
//
// Each fact has a tag for its source: [D] the official documentation, [L] a published
// observation of the live service, [C] the source of a public SDK, [M] inference.
package gemini

import (
	"net/http"
	"regexp"
	"strings"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// BaseURL is the API with its version. Files are not available at Vertex [D].
const BaseURL = "https://generativelanguage.googleapis.com/v1beta"

// general is the gateway's name for the purpose of all files: the API has no purposes [C].
const general = "general"

const (
	// maxFile is the size of a file: "2 GB" [D], read as the larger unit, which refuses no
	// file that Gemini accepts.
	maxFile = 2 << 30
	// maxStorage is the size of all files of a project: "20 GB" [D], read as the smaller
	// unit.
	maxStorage = 20_000_000_000
	// lifetimeSeconds is how long a file is kept: 48 hours [D]. No upload can change it.
	lifetimeSeconds = 48 * 60 * 60
	// concurrency is our choice: no limit is documented.
	concurrency = 8
)

// Provider is a project at the Gemini API. Its files belong to the project, and not to
// the key [D].
type Provider struct {
	client *openaicompat.Client
	// uploads is the URL of uploads: it has "upload" before the version [C].
	uploads string
}

var (
	_ providers.Provider  = (*Provider)(nil)
	_ providers.Retriever = (*Provider)(nil)
	_ providers.Poller    = (*Provider)(nil)
)

// private matches the keys of Google's APIs, and the ids that permit the bytes of an
// upload without a key.
var private = regexp.MustCompile(`AIza[\w-]{10,}|upload_id=[\w-]+`)

// Open is New. It returns the interface.
func Open(s providers.Settings) (providers.Provider, error) {
	p, err := New(s)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// New returns an account. It checks the settings, and sends nothing.
func New(s providers.Settings) (*Provider, error) {
	p := &Provider{}
	client, err := openaicompat.NewClient(openaicompat.API{
		Name: "gemini", BaseURL: BaseURL,
		// Assumed: empty files are refused.
		Purposes: []providers.Purpose{{Name: general, MaxSize: maxFile, LifetimeSeconds: lifetimeSeconds}},
		Limits:   providers.Limits{MaxBytes: maxStorage, Concurrency: concurrency},
		// The client's own uploads, lists and deletes are not used.
		NoPurposes: true, Listing: openaicompat.PagingNone, IDPrefix: prefix,
	}, openaicompat.Dialect{
		// The key is never part of a URL, where logs would show it.
		Authorize:      func(r *http.Request) { r.Header.Set("X-Goog-Api-Key", s.APIKey) },
		ParseErrorBody: parseErrorBody,
		ClassifyError:  p.classifyError,
		Private:        private,
	}, s)
	if err != nil {
		return nil, err
	}
	p.client, p.uploads = client, uploadsOf(client.Base())
	return p, nil
}

// uploadsOf returns the URL of uploads for a base URL that ends with the version.
func uploadsOf(base string) string {
	i := strings.LastIndexByte(base, '/')
	if strings.HasSuffix(base[:i], ":/") { // the base URL has no path
		return base + "/upload/files"
	}
	return base[:i] + "/upload" + base[i:] + "/files"
}

// Describe implements providers.Provider.
func (p *Provider) Describe() providers.Description { return p.client.Describe() }
