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

// list reads all rows of a query.
func list[R any](ctx context.Context, x *Index, table sqlrow.Table[R], query string, args ...any) ([]R, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	// An error of Query comes out of CollectRows.
	rows, _ := x.pool.Query(ctx, query, args...)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (R, error) { return table.Scan(row) })
}
