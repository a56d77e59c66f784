package pgindex

import (
	"context"
	"time"
)

// Clock returns the database's time, by which rows are written.
func (x *Index) Clock(ctx context.Context) (time.Time, error) {
	call, cancel := x.bounded(ctx)
	defer cancel()
	var now time.Time
	if err := x.pool.QueryRow(call, "select clock_timestamp()").Scan(&now); err != nil {
		return time.Time{}, fault(ctx, "read the database's clock", err)
	}
	return now, nil
}
