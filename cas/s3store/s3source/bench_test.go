package s3source_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/importer"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3source"
	"casgate/cas/s3store/s3test"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
)

const (
	benchObject   = 4 << 10 // bytes
	benchParallel = 16
)

// BenchmarkBackfill takes in many small objects; its yardstick reads and writes them
// again with minio-go alone, as many at once and under the same keys. An operation is
// one object.
func BenchmarkBackfill(b *testing.B) {
	b.Run("plain", func(b *testing.B) {
		from, to, client := benchObjects(b)
		work, ctx := errgroup.WithContext(b.Context())
		work.SetLimit(benchParallel)
		b.ResetTimer()
		for i := range b.N {
			work.Go(func() error {
				object, err := client.GetObject(ctx, from.Bucket, benchKey(i), minio.GetObjectOptions{})
				if err != nil {
					return err
				}
				defer object.Close()
				content := make([]byte, benchObject)
				if _, err := io.ReadFull(object, content); err != nil {
					return err
				}
				_, err = client.PutObject(ctx, to.Bucket, cas.ObjectRef{Digest: cas.DigestOf(content)}.Key(), bytes.NewReader(content), benchObject, minio.PutObjectOptions{DisableMultipart: true})
				return err
			})
		}
		if err := work.Wait(); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("backfill", func(b *testing.B) {
		from, to, _ := benchObjects(b)
		x, err := pgindex.Open(b.Context(), pgindex.Options{URL: pgtest.New(b)})
		if err != nil {
			b.Fatal(err)
		}
		defer x.Close()
		source, err := s3source.New(s3source.Options{Endpoint: from.Endpoint, Bucket: from.Bucket, AccessKey: from.AccessKey, SecretKey: from.SecretKey})
		if err != nil {
			b.Fatal(err)
		}
		defer source.Close()
		objects, err := s3store.New(to)
		if err != nil {
			b.Fatal(err)
		}
		defer objects.Close()
		store, err := cas.NewStore(objects, x, cas.Options{SpoolDir: b.TempDir(), HotBlobSize: -1})
		if err != nil {
			b.Fatal(err)
		}
		defer store.Close()
		imported, err := importer.Import(b.Context(), source.Rows(b.Context()), importer.ImportOptions{Index: x, Source: source.Name()})
		if err != nil || imported.Imported != int64(b.N) {
			b.Fatalf("%+v, %v", imported, err)
		}
		files := cas.NewFiles(cas.FilesOptions{Store: store, Index: x, Sources: []cas.Source{source}})
		b.ResetTimer()
		counts, err := importer.Backfill(b.Context(), importer.BackfillOptions{Files: files, Sources: []string{source.Name()}, Concurrency: benchParallel})
		if err != nil || counts.Taken != int64(b.N) || counts.Duplicates != 0 {
			b.Fatalf("%+v, %v", counts, err)
		}
	})
}

// benchObjects makes b.N objects in a bucket, and an empty bucket beside it.
func benchObjects(b *testing.B) (from, to s3store.Options, client *minio.Client) {
	b.Helper()
	from, to = s3test.NewBucket(b), s3test.NewBucket(b)
	client = s3test.Client(b, from)
	work, ctx := errgroup.WithContext(context.Background())
	work.SetLimit(benchParallel)
	for i := range b.N {
		work.Go(func() error {
			_, err := client.PutObject(ctx, from.Bucket, benchKey(i), bytes.NewReader(castest.RandomBytes(benchObject)), benchObject, minio.PutObjectOptions{})
			return err
		})
	}
	if err := work.Wait(); err != nil {
		b.Fatal(err)
	}
	return from, to, client
}

func benchKey(i int) string { return fmt.Sprintf("old/%08d", i) }
