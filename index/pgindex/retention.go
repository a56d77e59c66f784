package pgindex

import (
	"context"
	"fmt"
	"time"

	"casgate/cas"
	"casgate/cas/collector"
)

var _ collector.RetentionIndex = (*Index)(nil)

// All gateways write batches to the same rows. Locking the rows in one order prevents
// deadlocks between two batches.
const sqlTouchBlobs = `
with used as materialized (
    select b.digest
    from blobs b
    where b.digest = any($1::bytea[]) and b.touched_at < now() - $2::interval
    order by b.digest
    for update of b
)
update blobs b set touched_at = greatest(b.touched_at, now())
from used u where b.digest = u.digest`

// TouchBlobs implements collector.RetentionIndex.
func (x *Index) TouchBlobs(ctx context.Context, ds []cas.Digest, within time.Duration) error {
	keys := make([][]byte, len(ds))
	for i := range ds {
		keys[i] = ds[i][:]
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlTouchBlobs, keys, within); err != nil {
		return fault(ctx, fmt.Sprintf("record the use of %d blobs", len(ds)), err)
	}
	return nil
}

const sqlKeepRetention = `
insert into retention as r (since, seen_at) values (now(), now())
on conflict (only_row) do update set
    since = case when r.seen_at < now() - $1::interval then now() else r.since end,
    seen_at = greatest(r.seen_at, now())
returning now() - since`

// KeepRetention implements collector.RetentionIndex.
func (x *Index) KeepRetention(ctx context.Context, maxGap time.Duration) (since time.Duration, err error) {
	call, cancel := x.bounded(ctx)
	defer cancel()
	if err := x.pool.QueryRow(call, sqlKeepRetention, maxGap).Scan(&since); err != nil {
		return 0, fault(ctx, "record that uses are recorded", err)
	}
	return since, nil
}

// Rows that another transaction has locked are skipped until the next pass. The others
// are locked, so that no file refers to them when they are condemned. A copy that begins
// meanwhile finds out that its blob is gone, see the replicator.
const sqlCondemnUnreferenced = `
with page as materialized (
    select digest, created_at
    from blobs
    where state in ('live', 'suspect') and (created_at, digest) > ($1::timestamptz, $2::bytea) and created_at <= now() - $3::interval
    order by created_at, digest
    limit $4
), unused as materialized (
    select b.digest
    from blobs b
    join page p on p.digest = b.digest
    where b.state in ('live', 'suspect') and b.files = 0 and b.touched_at <= now() - $3::interval
      and not exists (select from copies c where c.digest = b.digest and c.state not in ('failed', 'lost', 'evicted', 'deleted'))
    order by b.digest
    for update of b skip locked
), condemned as (
    update blobs b set state = 'condemned', condemned_at = now()
    from unused u where b.digest = u.digest
    returning b.digest
)
select p.created_at, p.digest, c.digest is not null, case when c.digest is not null then pg_notify($5, encode(c.digest, 'hex')) end::text
from page p
left join condemned c on c.digest = p.digest
order by p.created_at, p.digest`

// CondemnUnreferenced implements collector.RetentionIndex.
func (x *Index) CondemnUnreferenced(ctx context.Context, q collector.RetentionQuery) (page collector.RetentionPage, err error) {
	call, cancel := x.bounded(ctx)
	defer cancel()
	rows, err := x.pool.Query(call, sqlCondemnUnreferenced, q.After.CreatedAt.UTC(), q.After.Digest[:], q.Idle, int64(q.Limit), channel)
	if err == nil {
		defer rows.Close()
		for rows.Next() && err == nil {
			var condemned bool
			if err = rows.Scan(&page.Next.CreatedAt, &page.Next.Digest, &condemned, nil); condemned {
				page.Condemned = append(page.Condemned, page.Next.Digest)
			}
			page.Seen++
		}
		if err == nil {
			err = rows.Err()
		}
	}
	if err != nil {
		return collector.RetentionPage{}, fault(ctx, "condemn unreferenced blobs", err)
	}
	return page, nil
}
