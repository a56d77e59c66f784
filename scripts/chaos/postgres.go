package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
)

// pingPostgres returns nil if the server answers.
func pingPostgres(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.Ping(ctx)
}

// query reads all rows of a query, without the gateway.
func query[T any](ctx context.Context, c *campaign, sql string) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, postgresURL(c.postgres.port))
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

// blobRow is a row of the index.
type blobRow struct {
	Digest     []byte
	Generation int32
	State      string
}

func (r blobRow) ref() cas.ObjectRef {
	return cas.ObjectRef{Digest: cas.Digest(r.Digest), Generation: r.Generation}
}

func (c *campaign) blobRows(ctx context.Context) ([]blobRow, error) {
	return query[blobRow](ctx, c, "select digest, generation, state from blobs where state <> 'gone'")
}

// copyRow is a row of the ledger.
type copyRow struct {
	Digest   []byte
	Provider string
	State    string
	FileID   string
	Error    string
	Leased   bool
}

func (r copyRow) subject() string { return cas.Digest(r.Digest).String() + "@" + r.Provider }

func (r copyRow) String() string {
	return fmt.Sprintf("copy at %s: %s, remote file %q, leased: %t, error %s", r.Provider, r.State, r.FileID, r.Leased, r.Error)
}

func (c *campaign) copyRows(ctx context.Context) ([]copyRow, error) {
	return query[copyRow](ctx, c, "select digest, provider, state, file_id, coalesce(error::text, ''), lease_until is not null from copies")
}

// fileNames returns the names of all files.
func (c *campaign) fileNames(ctx context.Context) ([]string, error) {
	type row struct{ Name string }
	rows, err := query[row](ctx, c, "select name from files")
	var names []string
	for _, r := range rows {
		names = append(names, r.Name)
	}
	return names, err
}
