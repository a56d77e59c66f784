package s3source

import (
	"fmt"
	"net/http"
	"net/url"

	sigv4 "github.com/minio/minio-go/v7/pkg/signer"
)

// unsignedPayload and contentHeader say that a signature doesn't cover the body;
// reads have none.
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
	r = r.Clone(r.Context()) // a RoundTripper may not change what it is given
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
