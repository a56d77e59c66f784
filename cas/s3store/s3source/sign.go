package s3source

import (
	"fmt"
	"net/http"
	"net/url"

	sigv4 "github.com/minio/minio-go/v7/pkg/signer"
)

// unsignedPayload in contentHeader means that the signature does not cover the body;
// reads have no body.
const (
	contentHeader   = "X-Amz-Content-Sha256"
	unsignedPayload = "UNSIGNED-PAYLOAD"
)

// signer moves requests below the endpoint's path and signs them.
type signer struct {
	base                         http.RoundTripper
	path                         string // escaped, without a slash at its end
	accessKey, secretKey, region string
}

// RoundTrip implements http.RoundTripper.
func (s *signer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context()) // a RoundTripper must not change its request
	if s.path != "" {
		escaped := s.path + r.URL.EscapedPath()
		path, err := url.PathUnescape(escaped)
		if err != nil {
			return nil, fmt.Errorf("path %q: %w", escaped, err)
		}
		r.URL.Path, r.URL.RawPath = path, escaped
	}
	r.Header.Set(contentHeader, unsignedPayload)
	return s.base.RoundTrip(sigv4.SignV4(*r, s.accessKey, s.secretKey, "", s.region))
}
