// Package seed makes what an old file manager leaves behind: a table of files in
// Postgres and their objects in a bucket, with everything wrong in them that the
// years bring.
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

// Options says where to put it.
type Options struct {
	// DatabaseURL is that of a database without a table files.
	DatabaseURL string
	// Endpoint is a URL; Bucket must be there, and empty.
	Endpoint, Bucket, AccessKey, SecretKey string
	// Rows is how many files there are; with 1000 or more there is one of every kind.
	Rows int
}

// parallel is how many objects are written at once.
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

// Make makes the table and the objects, and returns what an import and a backfill
// must make of them. The same number of rows always gives the same.
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
