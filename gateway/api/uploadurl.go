package api

import (
	"time"

	"casgate/cas"
)

// NewUploadURL is the request of POST /v1/upload-urls.
type NewUploadURL struct {
	Filename  string      `json:"filename"`
	Purpose   string      `json:"purpose,omitempty"`    // default user_data
	ExpiresIn *int64      `json:"expires_in,omitempty"` // seconds, at most MaxUploadURLLife; default DefaultUploadURLLife
	MaxBytes  *int64      `json:"max_bytes,omitempty"`  // default DefaultUploadURLBytes
	Digest    *cas.Digest `json:"digest,omitempty"`     // that the file must have
	Providers []string    `json:"providers,omitempty"`  // where to make copies
}

// The bounds of upload URLs.
const (
	DefaultUploadURLLife  = 600  // seconds
	MaxUploadURLLife      = 3600 // seconds
	DefaultUploadURLBytes = 100 << 20
)

// UploadURL is the answer of POST /v1/upload-urls: a request that uploads a file without a
// token, as often as it is sent until ExpiresAt.
type UploadURL struct {
	URL       string            `json:"url"`
	Method    string            `json:"method"`
	Headers   map[string]string `json:"headers"`
	MaxBytes  int64             `json:"max_bytes"`
	ExpiresAt time.Time         `json:"expires_at"`
	Curl      string            `json:"curl"` // the request as a command
}
