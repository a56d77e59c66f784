// Package s3store keeps objects in a bucket of an S3-compatible store.
//
// A single PutObject writes each object, with the SHA-256 of the whole object in
// x-amz-checksum-sha256. The store itself refuses wrong bytes, and keeps the checksum
// with the object. Multipart uploads are never used, since their checksum is a checksum
// of checksums.
package s3store

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"casgate/cas"
	"casgate/cas/s3store/s3client"
)

const (
	// deleteTimeout is short: a store may block a delete behind a slow read of the
	// same object, and the collector tries again anyway.
	deleteTimeout = 5 * time.Second
	checkTimeout  = 3 * time.Second
)

// Options names a bucket and its credentials.
type Options struct {
	// Endpoint is a URL; http:// means without TLS. It may have a path.
	Endpoint string
	Bucket   string
	// Region is the bucket's; empty means us-east-1. With it, the first use needs one
	// request less.
	Region    string
	AccessKey string
	SecretKey string
	// SessionToken belongs to temporary keys; else it is empty.
	SessionToken string
	// Role means that the machine's or the container's role has the credentials: see
	// s3client.Credentials.
	Role bool
	// Prefix is the folder in the bucket for all objects; empty: they lie at its top.
	// Different stores may share a bucket below different prefixes.
	Prefix string
	// Timeout limits each wait for the store: for the first byte of an answer, and for
	// the next byte of a transfer. 0 means s3client.DefaultTimeout.
	Timeout time.Duration
	// Checksums is "off" for a store that refuses uploads with x-amz-checksum-sha256. Then
	// only the verifying reader protects uploads.
	Checksums ChecksumMode
	// Log gets a line if the store lets requests wait too long, or breaks answers off. Its
	// zero value discards it.
	Log zerolog.Logger
}

// Store is an object store in a bucket.
type Store struct {
	client    *s3client.Client
	bucket    string
	prefix    string // empty, or with a slash at its end
	checksums ChecksumMode
	timeout   time.Duration // Options.Timeout, or its default
	log       zerolog.Logger
	resumed   rate.Sometimes // for the log
	doubts    doubts
}

var _ cas.ObjectStore = (*Store)(nil)

// New returns a store on the bucket. It checks the options and sends no request.
func New(o Options) (*Store, error) {
	if len(o.Bucket) < 3 {
		return nil, fmt.Errorf("S3 bucket %q: a bucket's name has at least 3 characters", o.Bucket)
	}
	client, err := s3client.New(s3client.Options{
		Endpoint: o.Endpoint, Region: o.Region,
		Credentials: s3client.Credentials{AccessKey: o.AccessKey, SecretKey: o.SecretKey, SessionToken: o.SessionToken, Role: o.Role},
		Timeout:     o.Timeout, Log: o.Log, WithoutTrailers: o.Checksums == ChecksumsOff,
	})
	if err != nil {
		return nil, err
	}
	prefix := strings.Trim(o.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &Store{
		client: client, bucket: o.Bucket, prefix: prefix, checksums: o.Checksums,
		timeout: cmp.Or(o.Timeout, s3client.DefaultTimeout), log: o.Log, resumed: rate.Sometimes{Interval: time.Minute},
	}, nil
}

// key returns the key of an object.
func (s *Store) key(ref cas.ObjectRef) string { return s.prefix + ref.Key() }

// Close drops idle connections.
func (s *Store) Close() { s.client.Close() }

// PresignGet returns a URL at which any client can read the blob's object for the given
// time, at most seven days, with the blob's media type and name. It sends no request.
func (s *Store) PresignGet(ctx context.Context, b cas.Blob, life time.Duration) (string, error) {
	ref, query := b.Object(), url.Values{"response-content-type": {b.MediaType}}
	if b.Name != "" {
		query.Set("response-content-disposition", mime.FormatMediaType("inline", map[string]string{"filename": b.Name}))
	}
	u, err := s.client.PresignGet(ctx, s.bucket, s.key(ref), life, query)
	if err != nil {
		return "", fmt.Errorf("make a URL for %s: %w", ref.Key(), err)
	}
	return u, nil
}

// shownFields are the fields of an answer that a URL can choose.
var shownFields = []string{"Content-Type", "Content-Disposition", "Cache-Control"}

// PresignAs returns a URL at which any client can read an object for the given time, at
// most seven days. The answer has those of these fields that are set: Content-Type,
// Content-Disposition and Cache-Control. It sends no request.
func (s *Store) PresignAs(ctx context.Context, ref cas.ObjectRef, life time.Duration, shown http.Header) (string, error) {
	query := url.Values{}
	for _, name := range shownFields {
		if value := shown.Get(name); value != "" {
			query.Set("response-"+strings.ToLower(name), value)
		}
	}
	u, err := s.client.PresignGet(ctx, s.bucket, s.key(ref), life, query)
	if err != nil {
		return "", fmt.Errorf("%w: make a URL for %s: %w", cas.ErrStoreUnavailable, ref.Key(), err)
	}
	return u, nil
}

// Put implements cas.ObjectStore.
func (s *Store) Put(ctx context.Context, ref cas.ObjectRef, body *cas.VerifyingReader) error {
	ctx, call := s.client.Begin(ctx)
	defer call.End()
	info, err := s.client.Client.PutObject(ctx, s.bucket, s.key(ref), source(body), body.Size(), s.putOptions(body.Digest()))
	switch {
	case err == nil && info.ETag != "":
		return nil
	case err == nil:
		err = errNoETag
	}
	if body.Err() != nil {
		return body.Err()
	}
	return s.wrap(ctx, opPut, ref, call.Err(err))
}

// source returns a Seeker only if the body can be rewound, since minio-go sends a
// Seeker's bytes again after a failure.
func source(body *cas.VerifyingReader) io.Reader {
	if body.CanRewind() {
		return &rewindable{VerifyingReader: body}
	}
	return body
}

// rewindable is a VerifyingReader with the part of io.Seeker that a client needs to
// repeat a body: the current position, and a return to the start.
type rewindable struct {
	*cas.VerifyingReader
	pos int64
}

func (r *rewindable) Read(p []byte) (int, error) {
	n, err := r.VerifyingReader.Read(p)
	r.pos += int64(n)
	return n, err
}

func (r *rewindable) Seek(offset int64, whence int) (int64, error) {
	switch {
	case whence == io.SeekCurrent && offset == 0, whence == io.SeekStart && offset == r.pos:
		return r.pos, nil
	case whence == io.SeekStart && offset == 0:
		if !r.Rewind() {
			return r.pos, errors.New("the body can't be rewound")
		}
		r.pos = 0
		return 0, nil
	}
	return r.pos, fmt.Errorf("a verified body can't be moved to %d (whence %d)", offset, whence)
}

// Open implements cas.ObjectStore with a single GET. If its answer breaks off, the body goes
// on with another one, see objectBody.
func (s *Store) Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	started, call := s.client.Begin(ctx)
	answer, err := s.get(started, ref, wanted{offset: offset, length: length})
	if err != nil {
		err = s.openError(ctx, ref, call.Err(err))
		call.End()
		return cas.Object{}, err
	}
	body := &objectBody{
		store: s, ctx: ctx, started: started, call: call, ref: ref, etag: answer.etag, version: answer.version,
		part: answer.part, size: answer.size, pos: offset, end: offset + answer.part.left,
		countedFrom: offset, resumedAt: offset,
	}
	return cas.Object{Body: body, Size: answer.size, Version: answer.version}, nil
}

// version returns an object's version. A store without a version id has the ETag, which
// is the same for the same bytes, and the time of the write, in seconds.
func version(info minio.ObjectInfo) string {
	return fmt.Sprintf("%s %s %d", info.VersionID, info.ETag, info.LastModified.UnixNano())
}

// Stat implements cas.ObjectStore with a HEAD. The digest is the checksum that the store
// keeps.
func (s *Store) Stat(ctx context.Context, ref cas.ObjectRef) (cas.ObjectStat, error) {
	started, call := s.client.Begin(ctx)
	defer call.End()
	info, err := s.client.StatObject(started, s.bucket, s.key(ref), minio.StatObjectOptions{Checksum: true})
	if minio.ToErrorResponse(err).StatusCode >= http.StatusInternalServerError {
		// The answer to a HEAD has no error code. That to a GET has.
		object, err := s.Open(ctx, ref, 0, -1)
		if err != nil {
			return cas.ObjectStat{}, err
		}
		object.Body.Close()
		return cas.ObjectStat{Size: object.Size}, nil
	}
	if err != nil {
		return cas.ObjectStat{}, s.wrap(ctx, "head", ref, call.Err(err))
	}
	stat := cas.ObjectStat{Size: info.Size}
	if sum, err := base64.StdEncoding.DecodeString(info.ChecksumSHA256); err == nil && len(sum) == len(stat.Digest) {
		copy(stat.Digest[:], sum)
	}
	return stat, nil
}

// Delete implements cas.ObjectStore.
func (s *Store) Delete(ctx context.Context, ref cas.ObjectRef) error {
	ctx, cancel := context.WithTimeout(ctx, deleteTimeout)
	defer cancel()
	err := s.client.RemoveObject(ctx, s.bucket, s.key(ref), minio.RemoveObjectOptions{})
	if err != nil {
		if err = s.wrap(ctx, "delete", ref, err); errors.Is(err, cas.ErrObjectMissing) {
			return nil
		}
	}
	return err
}

// DeleteAll is Delete for many objects, with one request for each thousand. It returns the
// objects whose removal the store has not confirmed, and the first error: with a store that
// does not know the request these are all.
func (s *Store) DeleteAll(ctx context.Context, refs []cas.ObjectRef) (left []cas.ObjectRef, err error) {
	ctx, cancel := context.WithTimeout(ctx, deleteTimeout)
	defer cancel()
	ctx, call := s.client.Begin(ctx)
	defer call.End()
	byKey := make(map[string]cas.ObjectRef, len(refs))
	objects := make(chan minio.ObjectInfo, len(refs))
	for _, ref := range refs {
		byKey[s.key(ref)] = ref
		objects <- minio.ObjectInfo{Key: s.key(ref)}
	}
	close(objects)
	for failed := range s.client.RemoveObjects(ctx, s.bucket, objects, minio.RemoveObjectsOptions{}) {
		if minio.ToErrorResponse(failed.Err).Code == minio.NoSuchKey {
			continue
		}
		if err == nil {
			err = s.failed(fmt.Sprintf("delete %d objects", len(refs)), call.Err(failed.Err))
		}
		if ref, isKnown := byKey[failed.ObjectName]; isKnown {
			left = append(left, ref)
		} else { // the whole answer is wrong
			left = refs
		}
	}
	return left, err
}

// List returns all objects, in the order of their keys. Other objects of the bucket are
// left out. It takes a request for each thousand objects.
func (s *Store) List(ctx context.Context) iter.Seq2[cas.ObjectInfo, error] {
	return func(yield func(cas.ObjectInfo, error) bool) {
		ctx, call := s.client.Begin(ctx)
		defer call.End() // ends the listing
		for found := range s.client.Client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + "sha256/", Recursive: true}) {
			if found.Err != nil {
				yield(cas.ObjectInfo{}, s.failed(fmt.Sprintf("list bucket %q", s.bucket), call.Err(found.Err)))
				return
			}
			ref, err := cas.ParseKey(strings.TrimPrefix(found.Key, s.prefix))
			if err != nil {
				continue // not ours
			}
			if !yield(cas.ObjectInfo{ObjectRef: ref, Size: found.Size, ModifiedAt: found.LastModified}, nil) {
				return
			}
		}
	}
}

// Check implements cas.ObjectStore: the bucket must exist and be accessible.
func (s *Store) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	exists, err := s.client.BucketExists(ctx, s.bucket)
	if err != nil {
		return s.failed(fmt.Sprintf("bucket %q", s.bucket), s.explained(ctx, err))
	}
	if !exists {
		// versitygw answers a key that it does not know with 404, too. A GET tells which.
		_, asked := s.client.GetBucketVersioning(ctx, s.bucket)
		refused, ok := errors.AsType[minio.ErrorResponse](asked)
		if ok && refused.StatusCode == http.StatusNotFound && refused.Code != "" && refused.Code != minio.NoSuchBucket {
			return s.failed(fmt.Sprintf("bucket %q", s.bucket), refused)
		}
		return fmt.Errorf("%w: %w %q at %s", cas.ErrStoreRefused, ErrNoBucket, s.bucket, s.client.Endpoint)
	}
	return nil
}

// explained returns why the store refused a HEAD of the bucket. The answer to HEAD has no
// body, and so no code: a GET is refused for the same reason, and says which.
func (s *Store) explained(ctx context.Context, err error) error {
	switch minio.ToErrorResponse(err).StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
	default:
		return err
	}
	_, asked := s.client.GetBucketVersioning(ctx, s.bucket)
	if refused, ok := errors.AsType[minio.ErrorResponse](asked); ok && refused.StatusCode == minio.ToErrorResponse(err).StatusCode {
		return refused
	}
	return err
}

// IsVersioned reports whether the bucket keeps the versions of objects that were deleted
// or replaced.
func (s *Store) IsVersioned(ctx context.Context) (bool, error) {
	ctx, call := s.client.Begin(ctx)
	defer call.End()
	versioning, err := s.client.GetBucketVersioning(ctx, s.bucket)
	if err != nil {
		return false, s.failed(fmt.Sprintf("get versioning of bucket %q", s.bucket), call.Err(err))
	}
	return versioning.Enabled(), nil
}

// CreateBucket creates the bucket if it does not exist.
func (s *Store) CreateBucket(ctx context.Context) error {
	exists, err := s.client.BucketExists(ctx, s.bucket)
	if err == nil && exists {
		return nil
	}
	err = s.client.MakeBucket(ctx, s.bucket, minio.MakeBucketOptions{Region: s.client.Region})
	switch minio.ToErrorResponse(err).Code {
	case minio.BucketAlreadyOwnedByYou, minio.BucketAlreadyExists:
		return nil
	}
	if err != nil {
		return s.failed(fmt.Sprintf("make bucket %q", s.bucket), err)
	}
	return nil
}

// errNoETag says that the answer to a PUT is not that of a store, which names the ETag of what it
// has stored. It may be an error, or come from something between, in spite of its status.
var errNoETag = errors.New("the answer is 200, but has no ETag, so the object may not be stored")
