// Package s3client has a client of an S3-compatible store: minio-go's, with limits for
// every wait, and for endpoints below a path.
//
// Supabase Storage has its S3 API below a path, https://<project>.supabase.co/storage/v1/s3,
// and the signature of a request covers that path
// (supabase.com/docs/guides/storage/s3/authentication). minio-go does not support such an
// endpoint, so this package moves requests below the path and signs them.
package s3client

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/rs/zerolog"
)

// DefaultTimeout is the default of Options.Timeout.
const DefaultTimeout = 10 * time.Second

// writeBuffer is the size of a connection's buffer for what is sent, in bytes.
const writeBuffer = 64 << 10

// Options names a store and the credentials for it.
type Options struct {
	// Endpoint is a URL; http:// means without TLS. It may have a path.
	Endpoint string
	// Region is the region in signatures; empty means us-east-1.
	Region string
	Credentials
	// Timeout limits each wait for the store: for the first byte of an answer, and for
	// the next byte of a transfer. 0 means DefaultTimeout.
	Timeout time.Duration
	// WithoutTrailers is for stores that know no checksums: minio-go then adds none.
	WithoutTrailers bool
	// Log gets a line if the store lets a request wait too long. Its zero value discards
	// it.
	Log zerolog.Logger
}

// Credentials sign requests.
type Credentials struct {
	AccessKey string
	SecretKey string
	// SessionToken belongs to temporary keys; else it is empty.
	SessionToken string
	// Role means that the machine's or the container's role has the credentials, and no
	// keys are set. They are asked for as the AWS SDKs do: with a web identity
	// (AWS_WEB_IDENTITY_TOKEN_FILE), from a container's endpoint
	// (AWS_CONTAINER_CREDENTIALS_FULL_URI), or from the instance's metadata.
	Role bool
}

// provider returns minio-go's form of the credentials.
func (c Credentials) provider() (*credentials.Credentials, error) {
	switch {
	case c.Role && (c.AccessKey != "" || c.SecretKey != "" || c.SessionToken != ""):
		return nil, errors.New("S3 credentials of a role and S3 keys are both set; unset one")
	case c.Role:
		return credentials.NewIAM(""), nil
	case c.AccessKey == "" || c.SecretKey == "":
		return nil, errors.New("S3 access key and secret key are both needed")
	}
	return credentials.NewStaticV4(c.AccessKey, c.SecretKey, c.SessionToken), nil
}

// Client is a client of a store. It is safe for concurrent use.
type Client struct {
	*minio.Core
	// Endpoint is the store's host with the endpoint's path, for errors.
	Endpoint string
	// Region is the region in signatures.
	Region string

	limits    limits
	signer    *signer // nil: minio-go signs
	transport *http.Transport
}

// New returns a client. It checks the options and sends no request.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("S3 endpoint %q is not a URL such as https://s3.example.com, https://project.supabase.co/storage/v1/s3 or http://127.0.0.1:9000", redact(o.Endpoint))
	}
	if u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("S3 endpoint %q must be a scheme, a host and perhaps a path; set the keys separately", redact(o.Endpoint))
	}
	keys, err := o.Credentials.provider()
	if err != nil {
		return nil, err
	}
	c := &Client{
		Endpoint:  u.Host + strings.TrimRight(u.EscapedPath(), "/"),
		Region:    cmp.Or(o.Region, "us-east-1"),
		transport: newTransport(),
	}
	c.limits = newLimits(c.transport, cmp.Or(o.Timeout, DefaultTimeout), c.Endpoint, o.Log)
	options := &minio.Options{
		Creds:           keys,
		Secure:          u.Scheme == "https",
		Region:          c.Region,
		Transport:       &c.limits,
		TrailingHeaders: !o.WithoutTrailers, // minio-go refuses a checksum header without them
		MaxRetries:      3,
	}
	if path := strings.TrimRight(u.EscapedPath(), "/"); path != "" {
		c.signer = &signer{base: &c.limits, endpoint: u, path: path, credentials: keys, region: c.Region}
		options.Transport = c.signer
		// minio-go sends unsigned requests; the signer adds the path and the signature.
		options.Creds = credentials.NewStatic("", "", "", credentials.SignatureAnonymous)
		options.BucketLookup = minio.BucketLookupPath
	}
	if c.Core, err = minio.NewCore(u.Host, options); err != nil {
		return nil, fmt.Errorf("S3 client for %s: %w", c.Endpoint, err)
	}
	return c, nil
}

// redact removes the password from an endpoint.
func redact(endpoint string) string {
	if u, err := url.Parse(endpoint); err == nil {
		return u.Redacted()
	}
	return "(not a URL)"
}

// newTransport returns a transport with enough idle connections for many parallel
// transfers, without content codings, and with buffers for large bodies. It has no limit
// for the wait for an answer: see limits.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       time.Minute,
		TLSHandshakeTimeout:   5 * time.Second,
		ExpectContinueTimeout: 10 * time.Second,
		DisableCompression:    true,
		WriteBufferSize:       writeBuffer,
		ReadBufferSize:        64 << 10,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
}

// Close drops idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }
