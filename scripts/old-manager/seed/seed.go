// Package seed creates the data of an old file manager: a table of files in Postgres and
// their objects in a bucket, with typical errors of old data.
package seed

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sync/errgroup"
)

// Options names the database and the bucket.
type Options struct {
	// DatabaseURL is the URL of a database without a table files.
	DatabaseURL string
	// Endpoint is a URL; Bucket must exist and be empty.
	Endpoint, Bucket, AccessKey, SecretKey string
	// Rows is the number of rows; 1000 or more have every kind of row.
	Rows int
}

// parallel is the number of objects that are written at the same time.
const parallel = 24

const sqlTable = `
create table files (
	id               uuid primary key,
	storage_path     text not null,
	original_name    text,
	mime_type        text,
	size_bytes       bigint,
	file_type        text,
	created_at       timestamptz not null,
	sha256           text,
	provider_file_id text,
	provider         text,
	accessed_at      timestamptz,
	metadata         jsonb
)`

// Make creates the table and the objects, and returns the expected result of an import
// and a backfill. The same number of rows always gives the same data.
func Make(ctx context.Context, o Options) (Expected, error) {
	rows := generate(o.Rows)
	work, workCtx := errgroup.WithContext(ctx)
	work.Go(func() error { return makeTable(workCtx, o.DatabaseURL, rows) })
	work.Go(func() error { return makeObjects(workCtx, o, rows) })
	if err := work.Wait(); err != nil {
		return Expected{}, err
	}
	return expect(rows), nil
}

func makeTable(ctx context.Context, databaseURL string, rows []row) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sqlTable); err != nil {
		return err
	}
	columns := []string{
		"id", "storage_path", "original_name", "mime_type", "size_bytes", "file_type", "created_at",
		"sha256", "provider_file_id", "provider", "accessed_at", "metadata",
	}
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"files"}, columns, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		r := rows[i]
		return []any{
			r.id[:], r.path, r.name, r.mediaType, r.size, r.kind, r.created,
			r.sha256, r.remoteID, r.provider, r.accessed, r.metadata,
		}, nil
	}))
	if err != nil {
		return fmt.Errorf("fill the old table: %w", err)
	}
	return nil
}

func makeObjects(ctx context.Context, o Options, rows []row) error {
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return err
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""), Secure: u.Scheme == "https", Region: "us-east-1",
	})
	if err != nil {
		return err
	}
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(parallel)
	made := map[string]bool{}
	for _, r := range rows {
		if r.missing || made[r.path] {
			continue
		}
		made[r.path] = true
		work.Go(func() error {
			content := r.content()
			_, err := client.PutObject(ctx, o.Bucket, r.path, strings.NewReader(content), int64(len(content)),
				minio.PutObjectOptions{DisableMultipart: true})
			if err != nil {
				return fmt.Errorf("put %q: %w", r.path, err)
			}
			return nil
		})
	}
	return work.Wait()
}
