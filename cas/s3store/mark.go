package s3store

import (
	"context"
	"fmt"
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
	body, _, _, err := s.client.GetObject(ctx, s.bucket, markKey, minio.GetObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%w: get %s at %s: %w", cas.ErrStoreUnavailable, markKey, s.client.Endpoint, err)
	}
	defer body.Close()
	mark, err := io.ReadAll(io.LimitReader(body, maxMarkSize))
	if err != nil {
		return "", fmt.Errorf("%w: get %s at %s: %w", cas.ErrStoreUnavailable, markKey, s.client.Endpoint, err)
	}
	return string(mark), nil
}

// SetMark replaces the mark of the bucket.
func (s *Store) SetMark(ctx context.Context, mark string) error {
	_, err := s.client.Client.PutObject(ctx, s.bucket, markKey, strings.NewReader(mark), int64(len(mark)), putOptions(cas.DigestOf([]byte(mark))))
	if err != nil {
		return fmt.Errorf("%w: put %s at %s: %w", cas.ErrStoreUnavailable, markKey, s.client.Endpoint, err)
	}
	return nil
}
