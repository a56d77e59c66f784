package pgindex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
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
insert into %s as c (holder, lease_until, run)
values ($1, case when $2::interval > interval '0' then now() + $2::interval end, $3)
on conflict (only_row) do update set holder = excluded.holder, lease_until = excluded.lease_until, run = excluded.run
where c.holder = excluded.holder or c.lease_until is null or c.lease_until <= now()`

	sqlLastLeased = `select run, coalesce(lease_until > now(), false) from %s`
)

// saveLeased stores the state of a run, unless the lease of another one is running.
func (x *Index) saveLeased(ctx context.Context, in leasedRuns, id string, run any, lease time.Duration) (held bool, err error) {
	text, err := json.Marshal(run)
	if err != nil {
		return false, fmt.Errorf("encode the state of a %s: %w", in.kind, err)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	tag, err := x.pool.Exec(call, fmt.Sprintf(sqlSaveLeased, in.table), id, lease, string(text))
	if err != nil {
		return false, fault(ctx, "save the state of a "+in.kind, err)
	}
	return tag.RowsAffected() > 0, nil
}

// lastLeased reads the last run. The error is pgx.ErrNoRows if there was none.
func (x *Index) lastLeased(ctx context.Context, in leasedRuns, run any) (running bool, err error) {
	call, cancel := x.bounded(ctx)
	defer cancel()
	var text string
	err = x.pool.QueryRow(call, fmt.Sprintf(sqlLastLeased, in.table)).Scan(&text, &running)
	if errors.Is(err, pgx.ErrNoRows) {
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
