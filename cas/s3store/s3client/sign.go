package s3client

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7/pkg/credentials"
	sigv4 "github.com/minio/minio-go/v7/pkg/signer"
)

// unsignedPayload in contentHeader means that the signature does not cover the body. It
// covers the header with the body's checksum.
const (
	contentHeader   = "X-Amz-Content-Sha256"
	unsignedPayload = "UNSIGNED-PAYLOAD"
)

// signer moves requests below the endpoint's path and signs them.
type signer struct {
	base        http.RoundTripper
	path        string // escaped, without a slash at its end
	credentials *credentials.Credentials
	region      string
}

// RoundTrip implements http.RoundTripper.
func (s *signer) RoundTrip(r *http.Request) (*http.Response, error) {
	keys, err := s.credentials.GetWithContext(&credentials.CredContext{Client: http.DefaultClient})
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context()) // a RoundTripper must not change its request
	if err := moveBelow(r.URL, s.path); err != nil {
		return nil, err
	}
	r.Header.Set(contentHeader, unsignedPayload)
	return s.base.RoundTrip(sigv4.SignV4(*r, keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken, s.region))
}

// moveBelow puts an escaped path before that of a URL.
func moveBelow(u *url.URL, before string) error {
	escaped := before + u.EscapedPath()
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return fmt.Errorf("path %q: %w", escaped, err)
	}
	u.Path, u.RawPath = path, escaped
	return nil
}
