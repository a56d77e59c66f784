package sqliteindex

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// leasedRuns is a table with one row: the last run of a kind, in JSON, and the lease of
// the one that is at work.
type leasedRuns struct{ table, kind string }

var (
	collectorRuns = leasedRuns{"collection", "collection"}
	scrubRuns     = leasedRuns{"scrub", "scrub"}
)

const (
	sqlSaveLeased = `
insert into %s as c (only_row, holder, lease_until, run)
values (1, ?1, ?2, ?3)
on conflict (only_row) do update set holder = excluded.holder, lease_until = excluded.lease_until, run = excluded.run
where c.holder = excluded.holder or c.lease_until is null or c.lease_until <= ?4`

	sqlLastLeased = `select run, coalesce(lease_until > ?, 0) from %s`
)

// saveLeased stores the state of a run, unless the lease of another one is running.
func (x *Index) saveLeased(ctx context.Context, in leasedRuns, id string, run any, lease time.Duration) (held bool, err error) {
	text, err := json.Marshal(run)
	if err != nil {
		return false, fmt.Errorf("encode the state of a %s: %w", in.kind, err)
	}
	err = x.free(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at := now()
		until := sql.NullInt64{Int64: at + lease.Microseconds(), Valid: lease > 0}
		result, err := tx.ExecContext(ctx, fmt.Sprintf(sqlSaveLeased, in.table), id, until, string(text), at)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		held = n > 0
		return err
	})
	if err != nil {
		return false, fault(ctx, "save the state of a "+in.kind, err)
	}
	return held, nil
}

// lastLeased reads the last run. The error is sql.ErrNoRows if there was none.
func (x *Index) lastLeased(ctx context.Context, in leasedRuns, run any) (running bool, err error) {
	call, cancel := bounded(ctx)
	defer cancel()
	var text string
	err = x.reader.QueryRowContext(call, fmt.Sprintf(sqlLastLeased, in.table), now()).Scan(&text, &running)
	if errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	if err != nil {
		return false, fault(ctx, "look up the last "+in.kind, err)
	}
	if err := json.Unmarshal([]byte(text), run); err != nil {
		return false, fmt.Errorf("decode the state of a %s: %w", in.kind, err)
	}
	return running, nil
}
