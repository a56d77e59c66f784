// Package s3source reads the bucket in which an old file manager keeps its bytes. It
// never writes.
//
// Supabase Storage has its S3 API below a path, https://<project>.supabase.co/storage/v1/s3,
// and the signature of a request covers that path
// (supabase.com/docs/guides/storage/s3/authentication). minio-go does not support such an
// endpoint, so this package moves requests below the path and signs them.
package s3source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"casgate/cas"
)

const (
	headerTimeout = 60 * time.Second
	statTimeout   = 30 * time.Second
	// stallTimeout ends a read that delivers no byte for this time.
	stallTimeout = 60 * time.Second
)

// Options names a bucket and its credentials.
type Options struct {
	// Endpoint is a URL; http:// means without TLS. It may have a path.
	Endpoint string
	Bucket   string
	// Region is the region in signatures; empty means us-east-1.
	Region    string
	AccessKey string
	SecretKey string
	// Prefix is the folder in the bucket for all keys; it may be empty.
	Prefix string
}

// Source is a bucket to read from. It is safe for concurrent use.
type Source struct {
	client    *minio.Core
	transport *http.Transport
	bucket    string
	prefix    string // empty, or with a slash at its end
	endpoint  string // for errors
	stall     time.Duration
}

var _ cas.Source = (*Source)(nil)

// New returns a source on the bucket. It checks the options and sends no request.
func New(o Options) (*Source, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.User != nil {
		return nil, errors.New("the endpoint of the source is not a URL such as https://project.supabase.co/storage/v1/s3 or http://127.0.0.1:9000")
	}
	if len(o.Bucket) < 3 {
		return nil, fmt.Errorf("bucket %q of the source: a bucket's name has at least 3 characters", o.Bucket)
	}
	if o.AccessKey == "" || o.SecretKey == "" {
		return nil, errors.New("access key and secret key of the source are both needed")
	}
	region := o.Region
	if region == "" {
		region = "us-east-1"
	}
	transport := newTransport()
	client, err := minio.NewCore(u.Host, &minio.Options{
		// minio-go sends unsigned requests; the signer adds the path and the signature.
		Creds:        credentials.NewStatic("", "", "", credentials.SignatureAnonymous),
		Secure:       u.Scheme == "https",
		Region:       region,
		BucketLookup: minio.BucketLookupPath,
		Transport: &signer{
			base: transport, path: strings.TrimRight(u.EscapedPath(), "/"),
			accessKey: o.AccessKey, secretKey: o.SecretKey, region: region,
		},
		MaxRetries: 3,
	})
	if err != nil {
		return nil, fmt.Errorf("S3 client for %s: %w", u.Host, err)
	}
	prefix := strings.Trim(o.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &Source{
		client: client, transport: transport, bucket: o.Bucket, prefix: prefix,
		endpoint: u.Host + u.EscapedPath(), stall: stallTimeout,
	}, nil
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       time.Minute,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: headerTimeout,
		DisableCompression:    true, // return the stored bytes unchanged
		ReadBufferSize:        64 << 10,
	}
}

// Close drops idle connections.
func (s *Source) Close() { s.transport.CloseIdleConnections() }

// Name implements cas.Source: s3://bucket/prefix. It does not contain the endpoint,
// since a gateway and an import may reach the same bucket under different host names.
func (s *Source) Name() string {
	return strings.TrimSuffix("s3://"+s.bucket+"/"+s.prefix, "/")
}

// Check returns an error that wraps cas.ErrOriginUnavailable if the bucket does not exist
// or is not accessible.
func (s *Source) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, statTimeout)
	defer cancel()
	exists, err := s.client.BucketExists(ctx, s.bucket)
	if err != nil {
		return fmt.Errorf("%w: bucket %q at %s: %w", cas.ErrOriginUnavailable, s.bucket, s.endpoint, err)
	}
	if !exists {
		return fmt.Errorf("%w: there is no bucket %q at %s", cas.ErrOriginUnavailable, s.bucket, s.endpoint)
	}
	return nil
}

// Open implements cas.Source with a single GET. A read that delivers no byte for
// stallTimeout ends with an error.
func (s *Source) Open(ctx context.Context, key string) (cas.Object, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	body, info, _, err := s.client.GetObject(ctx, s.bucket, s.prefix+key, minio.GetObjectOptions{})
	if err != nil {
		cancel(nil)
		return cas.Object{}, s.wrap("get", key, err)
	}
	return cas.Object{Body: newObjectBody(ctx, cancel, s, key, body), Size: info.Size}, nil
}

// Stat returns an object's size in bytes, with a single HEAD. Errors are those of
// Open.
func (s *Source) Stat(ctx context.Context, key string) (size int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, statTimeout)
	defer cancel()
	info, err := s.client.StatObject(ctx, s.bucket, s.prefix+key, minio.StatObjectOptions{})
	if err != nil {
		return 0, s.wrap("stat", key, err)
	}
	return info.Size, nil
}

// wrap gives an error its kind. A key that is invalid in S3 counts as a missing object.
func (s *Source) wrap(op, key string, err error) error {
	kind := cas.ErrOriginUnavailable
	switch minio.ToErrorResponse(err).Code {
	case minio.NoSuchKey, minio.XMinioInvalidObjectName, "KeyTooLongError":
		kind = cas.ErrObjectMissing
	}
	return fmt.Errorf("%w: %s %q of bucket %q at %s: %w", kind, op, s.prefix+key, s.bucket, s.endpoint, err)
}

// errStalled is the cause when a read that delivers no bytes is ended.
var errStalled = errors.New("no byte came for a long time")

// objectBody wraps the errors of a read while the object streams in, and ends a read
// that delivers no bytes.
type objectBody struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	source *Source
	key    string
	body   io.ReadCloser
	timer  *time.Timer
}

func newObjectBody(ctx context.Context, cancel context.CancelCauseFunc, s *Source, key string, body io.ReadCloser) *objectBody {
	timer := time.AfterFunc(s.stall, func() { cancel(errStalled) })
	timer.Stop() // it runs only during a read
	return &objectBody{ctx, cancel, s, key, body, timer}
}

func (b *objectBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.source.stall)
	n, err := b.body.Read(p)
	b.timer.Stop() // the time between two reads does not count
	if err != nil && err != io.EOF {
		if cause := context.Cause(b.ctx); cause != nil {
			err = cause
		}
		err = b.source.wrap("get", b.key, err)
	}
	return n, err
}

func (b *objectBody) Close() error {
	b.timer.Stop()
	err := b.body.Close()
	b.cancel(nil)
	return err
}
