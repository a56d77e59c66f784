package sqliteindex

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"casgate/cas"
	"casgate/cas/collector"
)

var _ collector.RetentionIndex = (*Index)(nil)

const sqlTouchBlob = `update blobs set touched_at = ?2 where digest = ?1 and touched_at < ?3`

// TouchBlobs implements collector.RetentionIndex.
func (x *Index) TouchBlobs(ctx context.Context, ds []cas.Digest, within time.Duration) error {
	err := x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at := now()
		for _, d := range ds {
			if _, err := tx.ExecContext(ctx, sqlTouchBlob, d[:], at, at-within.Microseconds()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fault(ctx, fmt.Sprintf("record the use of %d blobs", len(ds)), err)
	}
	return nil
}

const sqlKeepRetention = `
insert into retention (only_row, since, seen_at) values (1, ?1, ?1)
on conflict (only_row) do update set
    since = case when seen_at < ?2 then ?1 else since end,
    seen_at = max(seen_at, ?1)
returning ?1 - since`

// KeepRetention implements collector.RetentionIndex.
func (x *Index) KeepRetention(ctx context.Context, maxGap time.Duration) (since time.Duration, err error) {
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at := now()
		var micros int64
		err := tx.QueryRowContext(ctx, sqlKeepRetention, at, at-maxGap.Microseconds()).Scan(&micros)
		since = time.Duration(micros) * time.Microsecond
		return err
	})
	if err != nil {
		return 0, fault(ctx, "record that uses are recorded", err)
	}
	return since, nil
}

const (
	sqlRetentionPage = `
select created_at, digest,
    files = 0 and touched_at <= ?3 and not exists (
        select 1 from copies c where c.digest = blobs.digest and c.state not in ('failed', 'lost', 'evicted', 'deleted'))
from blobs
where state in ('live', 'suspect') and (created_at, digest) > (?1, ?2) and created_at <= ?3
order by created_at, digest
limit ?4`
)

// CondemnUnreferenced implements collector.RetentionIndex.
func (x *Index) CondemnUnreferenced(ctx context.Context, q collector.RetentionQuery) (page collector.RetentionPage, err error) {
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at := now()
		unused := map[cas.Digest]bool{}
		cursors, err := rowsOf(ctx, tx, func(row scanner) (c cas.Cursor, err error) {
			var micros int64
			var isUnused bool
			err = row.Scan(&micros, &c.Digest, &isUnused)
			c.CreatedAt = time.UnixMicro(micros).UTC()
			unused[c.Digest] = isUnused
			return c, err
		}, sqlRetentionPage, q.After.CreatedAt.UnixMicro(), q.After.Digest[:], at-q.Idle.Microseconds(), q.Limit)
		if err != nil {
			return err
		}
		page = collector.RetentionPage{Seen: len(cursors)}
		for _, c := range cursors {
			page.Next = c
			if !unused[c.Digest] {
				continue
			}
			if _, err := tx.ExecContext(ctx, sqlCondemn, at, c.Digest[:]); err != nil {
				return err
			}
			page.Condemned = append(page.Condemned, c.Digest)
		}
		return nil
	})
	if err != nil {
		return collector.RetentionPage{}, fault(ctx, "condemn unreferenced blobs", err)
	}
	return page, nil
}
