package sqliteindex

import (
	"context"
	"database/sql"

	"casgate/index"
)

var _ index.InventorySource = (*Index)(nil)

const (
	sqlCountBlobs  = `select state, count(*), coalesce(sum(size), 0) from blobs group by state order by state`
	sqlCountFiles  = `select count(*) from files`
	sqlCountCopies = `
select provider, state, count(*), coalesce(min(nullif(operation_id, '')), '')
from copies
group by provider, state
order by provider, state`
)

// Inventory implements index.InventorySource. Only ctx bounds it: the tables may be large.
func (x *Index) Inventory(ctx context.Context) (found index.Inventory, err error) {
	err = x.each(ctx, sqlCountBlobs, func(rows *sql.Rows) error {
		var c index.BlobCount
		err := rows.Scan(&c.State, &c.Count, &c.Bytes)
		found.Blobs = append(found.Blobs, c)
		return err
	})
	if err != nil {
		return index.Inventory{}, fault(ctx, "count the blobs", err)
	}
	if err := x.reader.QueryRowContext(ctx, sqlCountFiles).Scan(&found.Files); err != nil {
		return index.Inventory{}, fault(ctx, "count the files", err)
	}
	err = x.each(ctx, sqlCountCopies, func(rows *sql.Rows) error {
		var c index.CopyCount
		err := rows.Scan(&c.Provider, &c.State, &c.Count, &c.Oldest)
		found.Copies = append(found.Copies, c)
		return err
	})
	if err != nil {
		return index.Inventory{}, fault(ctx, "count the copies", err)
	}
	return found, nil
}

// each calls f for each row of a query's answer.
func (x *Index) each(ctx context.Context, query string, f func(*sql.Rows) error) error {
	rows, err := x.reader.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
