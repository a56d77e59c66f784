// Package s3source reads the bucket in which an old file manager keeps its bytes. It
// never writes.
package s3source

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"casgate/cas"
	"casgate/cas/s3store/s3client"
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
	// SessionToken belongs to temporary keys; else it is empty.
	SessionToken string
	// Role means that the machine's or the container's role has the credentials: see
	// s3client.Credentials.
	Role bool
	// Prefix is the folder in the bucket for all keys; it may be empty.
	Prefix string
	// Timeout limits each wait for the store: for the first byte of an answer, and for
	// the next byte of a transfer. 0 means defaultTimeout.
	Timeout time.Duration
}

// defaultTimeout is long, since nothing waits for a backfill.
const defaultTimeout = 60 * time.Second

// Source is a bucket to read from. It is safe for concurrent use.
type Source struct {
	client *s3client.Client
	bucket string
	prefix string // empty, or with a slash at its end
}

var _ cas.Source = (*Source)(nil)

// New returns a source on the bucket. It checks the options and sends no request.
func New(o Options) (*Source, error) {
	if len(o.Bucket) < 3 {
		return nil, fmt.Errorf("bucket %q of the source: a bucket's name has at least 3 characters", o.Bucket)
	}
	client, err := s3client.New(s3client.Options{
		Endpoint: o.Endpoint, Region: o.Region,
		Credentials: s3client.Credentials{AccessKey: o.AccessKey, SecretKey: o.SecretKey, SessionToken: o.SessionToken, Role: o.Role},
		Timeout:     cmp.Or(o.Timeout, defaultTimeout),
	})
	if err != nil {
		return nil, fmt.Errorf("source of imported files: %w", err)
	}
	prefix := strings.Trim(o.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &Source{client: client, bucket: o.Bucket, prefix: prefix}, nil
}

// Close drops idle connections.
func (s *Source) Close() { s.client.Close() }

// Name implements cas.Source: s3://bucket/prefix. It does not contain the endpoint,
// since a gateway and an import may reach the same bucket under different host names.
func (s *Source) Name() string {
	return strings.TrimSuffix("s3://"+s.bucket+"/"+s.prefix, "/")
}

// Check returns an error that wraps cas.ErrOriginUnavailable if the bucket does not exist
// or is not accessible.
func (s *Source) Check(ctx context.Context) error {
	ctx, call := s.client.Begin(ctx)
	defer call.End()
	exists, err := s.client.BucketExists(ctx, s.bucket)
	if err = call.Err(err); err != nil {
		return fmt.Errorf("%w: bucket %q at %s: %w", cas.ErrOriginUnavailable, s.bucket, s.client.Endpoint, err)
	}
	if !exists {
		return fmt.Errorf("%w: there is no bucket %q at %s", cas.ErrOriginUnavailable, s.bucket, s.client.Endpoint)
	}
	return nil
}

// Open implements cas.Source with a single GET. A read that delivers no byte for the
// source's time limit ends with an error.
func (s *Source) Open(ctx context.Context, key string) (cas.Object, error) {
	ctx, call := s.client.Begin(ctx)
	body, info, _, err := s.client.GetObject(ctx, s.bucket, s.prefix+key, minio.GetObjectOptions{})
	if err != nil {
		err = call.Err(err)
		call.End()
		return cas.Object{}, s.wrap("get", key, err)
	}
	return cas.Object{Body: &objectBody{body, s, call, key}, Size: info.Size}, nil
}

// Stat returns an object's size in bytes, with a single HEAD. Errors are those of
// Open.
func (s *Source) Stat(ctx context.Context, key string) (size int64, err error) {
	ctx, call := s.client.Begin(ctx)
	defer call.End()
	info, err := s.client.StatObject(ctx, s.bucket, s.prefix+key, minio.StatObjectOptions{})
	if err = call.Err(err); err != nil {
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
	return fmt.Errorf("%w: %s %q of bucket %q at %s: %w", kind, op, s.prefix+key, s.bucket, s.client.Endpoint, err)
}

// objectBody wraps the errors of a read while the object streams in.
type objectBody struct {
	io.ReadCloser
	source *Source
	call   *s3client.Call
	key    string
}

func (b *objectBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = b.source.wrap("get", b.key, b.call.Err(err))
	}
	return n, err
}

func (b *objectBody) Close() error {
	err := b.ReadCloser.Close()
	b.call.End()
	return err
}
