package pgindex

import (
	"context"

	"github.com/jackc/pgx/v5"

	"casgate/index/sqlrow"
)

// The tables, as statements name their columns and as their rows are read.
var (
	blobTable       = sqlrow.Blobs(sqlrow.Postgres)
	fileTable       = sqlrow.Files(sqlrow.Postgres)
	journalTable    = sqlrow.Journal(sqlrow.Postgres)
	tokenTable      = sqlrow.Tokens(sqlrow.Postgres)
	signingKeyTable = sqlrow.SigningKeys(sqlrow.Postgres)
)

// search is list for a query that may look at many rows. Clients ask such queries: not
// many run at the same time, so that they leave connections for look-ups and writes.
func search[R any](ctx context.Context, x *Index, table sqlrow.Table[R], query string, args ...any) ([]R, error) {
	ctx, cancel := x.bounded(ctx)
	defer cancel()
	if err := x.searches.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer x.searches.Release(1)
	return list(ctx, x, table, query, args...)
}

// list reads all rows of a query.
func list[R any](ctx context.Context, x *Index, table sqlrow.Table[R], query string, args ...any) ([]R, error) {
	ctx, cancel := x.bounded(ctx)
	defer cancel()
	// An error of Query comes out of CollectRows.
	rows, _ := x.pool.Query(ctx, query, args...)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (R, error) { return table.Scan(row) })
}
