package s3store

import (
	"context"
	"io"
	"strings"

	"github.com/minio/minio-go/v7"

	"casgate/cas"
)

const (
	// markKey names the object that says which index the bucket belongs to.
	markKey     = "casgate-store"
	maxMarkSize = 1 << 10
)

// Mark returns the mark of the bucket, or "" if it has none.
func (s *Store) Mark(ctx context.Context) (string, error) {
	body, _, _, err := s.client.GetObject(ctx, s.bucket, s.prefix+markKey, minio.GetObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return "", nil
	}
	if err != nil {
		return "", s.failed("get "+markKey, err)
	}
	defer body.Close()
	mark, err := io.ReadAll(io.LimitReader(body, maxMarkSize))
	if err != nil {
		return "", s.failed("get "+markKey, err)
	}
	return string(mark), nil
}

// SetMark replaces the mark of the bucket.
func (s *Store) SetMark(ctx context.Context, mark string) error {
	_, err := s.client.Client.PutObject(ctx, s.bucket, s.prefix+markKey, strings.NewReader(mark), int64(len(mark)), s.putOptions(cas.DigestOf([]byte(mark))))
	if err != nil {
		return s.failed("put "+markKey, err)
	}
	return nil
}
