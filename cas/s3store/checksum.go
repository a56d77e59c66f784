package s3store

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/minio/minio-go/v7"

	"casgate/cas"
)

// checksumHeader is passed to minio-go as user metadata, in lower case. minio-go then
// sends the header unchanged.
const checksumHeader = "x-amz-checksum-sha256"

// ChecksumMode says whether uploads have x-amz-checksum-sha256. The zero value means that
// they have.
type ChecksumMode string

// ChecksumsOff is for a store that refuses uploads with that header.
const ChecksumsOff ChecksumMode = "off"

// ChecksumSupport is what a store does with x-amz-checksum-sha256.
type ChecksumSupport string

// What stores do with it.
const (
	ChecksumsEnforced ChecksumSupport = "enforced" // wrong bytes are refused
	ChecksumsIgnored  ChecksumSupport = "ignored"  // wrong bytes are stored
	ChecksumsRefused  ChecksumSupport = "refused"  // uploads with the header are refused
	ChecksumsUnsent   ChecksumSupport = "unsent"   // ChecksumsOff is set
)

// putOptions requests a single PUT whose bytes the store verifies.
func (s *Store) putOptions(d cas.Digest) minio.PutObjectOptions {
	o := minio.PutObjectOptions{
		ContentType:          cas.DefaultMediaType,
		DisableMultipart:     true,
		DisableContentSha256: true, // the checksum header covers the payload
	}
	if s.checksums != ChecksumsOff {
		o.UserMetadata = map[string]string{checksumHeader: base64.StdEncoding.EncodeToString(d[:])}
	}
	return o
}

// ChecksumSupport finds out what the store does with checksums. It uploads the same
// bytes with their checksum, and with a wrong one. Stores refuse a wrong checksum in
// different words, so only the comparison tells. For ChecksumsRefused the error has the
// store's words; it is nil for the others.
func (s *Store) ChecksumSupport(ctx context.Context) (ChecksumSupport, error) {
	const probe = "the probe's bytes"
	key := s.prefix + "casgate-probe/checksum"
	if s.checksums == ChecksumsOff {
		return ChecksumsUnsent, nil
	}
	ctx, call := s.client.Begin(ctx)
	defer call.End()
	upload := func(d cas.Digest) error {
		_, err := s.client.Client.PutObject(ctx, s.bucket, key, strings.NewReader(probe), int64(len(probe)), s.putOptions(d))
		return call.Err(err)
	}
	if err := upload(cas.DigestOf([]byte(probe))); err != nil {
		if s.takesPlainUploads(ctx, key) {
			return ChecksumsRefused, s.failed("put "+key+" with "+checksumHeader, err)
		}
		return "", s.failed("put "+key, err)
	}
	support := ChecksumsIgnored
	if err := upload(cas.DigestOf([]byte("other bytes"))); err != nil {
		if response := minio.ToErrorResponse(err); response.StatusCode < 400 || response.StatusCode >= 500 {
			return "", s.failed("put "+key, err)
		}
		support = ChecksumsEnforced
	}
	if err := s.client.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{}); err != nil {
		return "", s.failed("remove "+key, call.Err(err))
	}
	return support, nil
}

// takesPlainUploads reports whether the store takes an upload without a checksum.
func (s *Store) takesPlainUploads(ctx context.Context, key string) bool {
	// With an MD5 minio-go adds no checksum of its own.
	plain := minio.PutObjectOptions{DisableMultipart: true, DisableContentSha256: true, SendContentMd5: true}
	_, err := s.client.Client.PutObject(ctx, s.bucket, key, strings.NewReader("x"), 1, plain)
	return err == nil
}
