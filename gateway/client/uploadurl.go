package client

import (
	"context"
	"net/http"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
)

// UploadURLOptions describe the file that can be uploaded at an upload URL.
type UploadURLOptions struct {
	Filename string
	Purpose  string // default user_data
	// Life is how long the URL works, in whole seconds; 0 means ten minutes, and an hour
	// is the most.
	Life time.Duration
	// MaxBytes bounds the file; 0 means 100 MiB.
	MaxBytes int64
	// Digest is the digest that the file must have; nil: any.
	Digest *cas.Digest
	// Providers are where the gateway makes copies. They need the scope sync.
	Providers []string
}

// UploadURL returns a URL at which anybody can upload one file without a token, such as
// `curl -T FILE URL`. It works until it expires, or until the client's token is revoked.
func (c *Client) UploadURL(ctx context.Context, o UploadURLOptions) (api.UploadURL, error) {
	body := api.NewUploadURL{Filename: o.Filename, Purpose: o.Purpose, Digest: o.Digest, Providers: o.Providers}
	if o.Life != 0 {
		body.ExpiresIn = new(int64(o.Life / time.Second))
	}
	if o.MaxBytes != 0 {
		body.MaxBytes = &o.MaxBytes
	}
	r := &request{method: http.MethodPost, path: "/v1/upload-urls", mayRetry: always}
	if err := r.jsonBody(body); err != nil {
		return api.UploadURL{}, err
	}
	var signed api.UploadURL
	err := c.doJSON(ctx, r, &signed)
	return signed, err
}
