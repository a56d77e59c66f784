package s3source

import (
	"context"
	"fmt"
	"iter"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"casgate/cas"
	"casgate/cas/importer"
)

// placeholder is the name of the object that Supabase keeps in an empty folder.
const placeholder = ".emptyFolderPlaceholder"

// Rows lists all objects below the prefix as rows of an import. It leaves out objects
// that only mark a folder. An error, which wraps cas.ErrOriginUnavailable, ends the list.
func (s *Source) Rows(ctx context.Context) iter.Seq2[importer.Row, error] {
	return func(yield func(importer.Row, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for object := range s.client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix, Recursive: true}) {
			if object.Err != nil {
				yield(importer.Row{}, fmt.Errorf("%w: list bucket %q at %s: %w", cas.ErrOriginUnavailable, s.bucket, s.client.Endpoint, object.Err))
				return
			}
			key := strings.TrimPrefix(object.Key, s.prefix)
			name := path.Base(key)
			if strings.HasSuffix(key, "/") || name == placeholder {
				continue
			}
			row := importer.Row{
				Key: key, Name: name, Size: fmt.Sprint(object.Size),
				CreatedAt: object.LastModified.UTC().Format(time.RFC3339Nano),
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}
