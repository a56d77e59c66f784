package sqliteindex

import (
	"context"
	"database/sql"

	"casgate/index/sqlrow"
)

// The tables, as statements name their columns and as their rows are read.
var (
	blobTable       = sqlrow.Blobs(sqlrow.SQLite)
	fileTable       = sqlrow.Files(sqlrow.SQLite)
	journalTable    = sqlrow.Journal(sqlrow.SQLite)
	tokenTable      = sqlrow.Tokens(sqlrow.SQLite)
	signingKeyTable = sqlrow.SigningKeys(sqlrow.SQLite)
)

// scanner is a *sql.Row or *sql.Rows.
type scanner = sqlrow.Scanner

// search is list for a query that may look at many rows. Clients ask such queries: not
// many run at the same time, so that they leave connections for look-ups.
func search[R any](ctx context.Context, x *Index, table sqlrow.Table[R], query string, args ...any) ([]R, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := x.searches.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer x.searches.Release(1)
	return list(ctx, x, table, query, args...)
}

// list reads all rows of a query, by the reader.
func list[R any](ctx context.Context, x *Index, table sqlrow.Table[R], query string, args ...any) ([]R, error) {
	scan := func(row scanner) (R, error) { return table.Scan(row) }
	return collect(ctx, x, scan, query, args...)
}

// collect is list for rows that are not of one table.
func collect[T any](ctx context.Context, x *Index, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return rowsOf(ctx, x.reader, scan, query, args...)
}

// rowsOf reads all rows of a query, by a database or in a transaction.
func rowsOf[T any](ctx context.Context, db interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
