package s3client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

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
	endpoint    *url.URL
	path        string // escaped, without a slash at its end
	credentials *credentials.Credentials
	region      string
}

// RoundTrip implements http.RoundTripper.
func (s *signer) RoundTrip(r *http.Request) (*http.Response, error) {
	keys, err := s.keys()
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

func (s *signer) keys() (credentials.Value, error) {
	return s.credentials.GetWithContext(&credentials.CredContext{Client: &http.Client{Transport: s.base}})
}

// PresignGet returns a URL at which any client can read an object for the given time,
// with the given parameters. It sends no request to the store.
func (c *Client) PresignGet(ctx context.Context, bucket, key string, life time.Duration, query url.Values) (string, error) {
	if c.signer == nil {
		u, err := c.PresignedGetObject(ctx, bucket, key, life, query)
		if err != nil {
			return "", err
		}
		return u.String(), nil
	}
	if life > longestLife {
		return "", fmt.Errorf("a URL for %v: S3 allows at most %v", life, longestLife)
	}
	keys, err := c.signer.keys()
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.signer.endpoint.Scheme+"://"+c.signer.endpoint.Host, nil)
	if err != nil {
		return "", err
	}
	r.URL.Path = "/" + bucket + "/" + key
	if err := moveBelow(r.URL, c.signer.path); err != nil {
		return "", err
	}
	r.URL.RawQuery = query.Encode()
	return sigv4.PreSignV4(*r, keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken, c.Region, int64(life/time.Second)).URL.String(), nil
}

// longestLife is the longest time for which S3 accepts a signed URL.
const longestLife = 7 * 24 * time.Hour

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
