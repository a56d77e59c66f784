package pgindex

import (
	"context"

	"github.com/jackc/pgx/v5"

	"casgate/index"
)

var _ index.InventorySource = (*Index)(nil)

const (
	sqlCountBlobs  = `select state, count(*), coalesce(sum(size), 0)::bigint from blobs group by state order by state`
	sqlCountFiles  = `select count(*) from files`
	sqlCountCopies = `
select provider, state, count(*), coalesce(min(operation_id) filter (where operation_id <> ''), '')
from copies
group by provider, state
order by provider, state`
)

// Inventory implements index.InventorySource. Only ctx bounds it: the tables may be large.
func (x *Index) Inventory(ctx context.Context) (found index.Inventory, err error) {
	rows, _ := x.pool.Query(ctx, sqlCountBlobs) // CollectRows returns its error
	if found.Blobs, err = pgx.CollectRows(rows, pgx.RowToStructByPos[index.BlobCount]); err != nil {
		return index.Inventory{}, fault(ctx, "count the blobs", err)
	}
	if err := x.pool.QueryRow(ctx, sqlCountFiles).Scan(&found.Files); err != nil {
		return index.Inventory{}, fault(ctx, "count the files", err)
	}
	rows, _ = x.pool.Query(ctx, sqlCountCopies)
	if found.Copies, err = pgx.CollectRows(rows, pgx.RowToStructByPos[index.CopyCount]); err != nil {
		return index.Inventory{}, fault(ctx, "count the copies", err)
	}
	return found, nil
}
