package pgindex

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"casgate/cas/journal"
)

const (
	// daysAhead is the number of days after today that have a partition.
	daysAhead = 2
	// partitionLock lets one gateway at a time make and drop partitions.
	partitionLock = 0x6361736a706172
	// A partition is made or dropped under a lock on the whole journal, for which
	// appenders wait. If a reader keeps the lock for longer, the next call tries again.
	sqlPartitionLockTimeout = `set local lock_timeout = '1s'`
	// partitionsTimeout limits the changes of all partitions, which may move records.
	partitionsTimeout = time.Minute

	dayFormat  = "20060102"
	restName   = "journal_rest"
	dayPrefix  = "journal_"
	pastPrefix = "journal_to_"
)

// partition is a partition of the journal.
type partition struct {
	name string
	// from and to are the first day of its records and the day after the last one. Both
	// are zero if it has the records of the days that no other has, and from is zero if
	// there is no first day.
	from, to time.Time
}

// isDay reports whether a partition has the records of one day.
func (p partition) isDay() bool { return !p.from.IsZero() }

// partitionOf returns what the name of a partition says.
func partitionOf(name string) (p partition, err error) {
	p.name = name
	if name == restName {
		return p, nil
	}
	if day, isPast := strings.CutPrefix(name, pastPrefix); isPast {
		p.to, err = time.Parse(dayFormat, day)
		return p, err
	}
	p.from, err = time.Parse(dayFormat, strings.TrimPrefix(name, dayPrefix))
	p.to = p.from.AddDate(0, 0, 1)
	return p, err
}

// dayOf returns the day of a time, in UTC.
func dayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// PruneRecords implements journal.Store. Records of a whole day go at once, with their
// partition. Other records go one by one: those from before there were partitions, those of
// days without one, and those of the oldest day if there are too many.
func (x *Index) PruneRecords(ctx context.Context, p journal.Prune) (int, error) {
	return x.pruneRecords(ctx, p, dayOf(time.Now()))
}

// pruneRecords is PruneRecords on a day.
func (x *Index) pruneRecords(ctx context.Context, p journal.Prune, today time.Time) (int, error) {
	if p.Limit < 1 {
		return 0, fmt.Errorf("prune records: a limit of %d; it must be at least 1", p.Limit)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	last, err := x.lastToPrune(call, p.Keep)
	if err != nil {
		return 0, fault(ctx, "find the last record to prune", err)
	}
	changing, stop := context.WithTimeout(ctx, partitionsTimeout)
	defer stop()
	partitionsErr := x.changePartitions(changing, cutoff{today: today, before: p.Before, last: last})
	// Without partitions all records are in the rest, and go one by one. So do those of days
	// whose partition could not be dropped.
	removing, end := x.bounded(ctx)
	defer end()
	pruned, err := x.pruneRows(removing, p, last, partitionsErr != nil)
	if err = errors.Join(partitionsErr, err); err != nil {
		return pruned, fault(ctx, fmt.Sprintf("prune up to %d records", p.Limit), err)
	}
	return pruned, nil
}

// lastToPrune returns the newest record that is too many; 0 if none is.
func (x *Index) lastToPrune(ctx context.Context, keep int64) (last journal.Cursor, err error) {
	if keep == 0 {
		return 0, nil
	}
	err = x.pool.QueryRow(ctx, `select greatest(coalesce(max(cursor), 0) - $1, 0) from journal`, keep).Scan(&last)
	return last, err
}

const sqlPartitions = `
select c.relname
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'journal'::regclass
order by c.relname`

// partitions returns the partitions of the journal. The last one has the rest.
func (x *Index) partitions(ctx context.Context) ([]partition, error) {
	rows, err := x.pool.Query(ctx, sqlPartitions)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (partition, error) {
		name, err := pgx.RowTo[string](row)
		if err != nil {
			return partition{}, err
		}
		return partitionOf(name)
	})
}

// cutoff says which records go.
type cutoff struct {
	today  time.Time
	before time.Time      // records that began before it go
	last   journal.Cursor // this record and those before it go
}

// changePartitions makes the partitions of the next days, and drops those without a record
// to keep.
func (x *Index) changePartitions(ctx context.Context, c cutoff) error {
	all, err := x.partitions(ctx)
	if err != nil {
		return err
	}
	for _, day := range missingDays(all, c.today) {
		if err := x.makeDay(ctx, day); err != nil {
			return fmt.Errorf("make the journal's partition of %s: %w", day.from.Format(time.DateOnly), err)
		}
	}
	for _, p := range all {
		isOver, err := x.isOver(ctx, p, c)
		if err == nil && isOver {
			err = x.inPartitionLock(ctx, `drop table if exists `+p.name)
		}
		if err != nil {
			return fmt.Errorf("drop the journal's partition %s: %w", p.name, err)
		}
	}
	return nil
}

// missingDays returns the partitions of today and of the next days that are not there.
func missingDays(all []partition, today time.Time) (missing []partition) {
	covered := map[time.Time]bool{}
	var past time.Time
	for _, p := range all {
		if p.isDay() {
			covered[p.from] = true
		} else if p.to.After(past) {
			past = p.to
		}
	}
	for n := range 1 + daysAhead {
		from := today.AddDate(0, 0, n)
		if !covered[from] && !from.Before(past) {
			missing = append(missing, partition{name: dayPrefix + from.Format(dayFormat), from: from, to: from.AddDate(0, 0, 1)})
		}
	}
	return missing
}

// isOver reports whether no record of a partition is to be kept. The partitions of today
// and of the next days stay, for the next records.
func (x *Index) isOver(ctx context.Context, p partition, c cutoff) (bool, error) {
	if p.to.IsZero() || p.to.After(c.today) {
		return false, nil
	}
	if !p.to.After(c.before) {
		return true, nil
	}
	if c.last == 0 {
		return false, nil
	}
	var newest journal.Cursor
	err := x.pool.QueryRow(ctx, `select coalesce(max(cursor), 0) from `+p.name).Scan(&newest)
	if isNoTable(err) {
		return false, nil
	}
	return newest <= c.last, err
}

// makeDay makes a partition. Records of its day that are in the rest move to it. The rest is
// locked first: Postgres refuses the partition if an appender adds such a record in between.
func (x *Index) makeDay(ctx context.Context, p partition) error {
	from, to := p.from.Format(time.RFC3339), p.to.Format(time.RFC3339)
	within := fmt.Sprintf(`started_at >= '%s' and started_at < '%s'`, from, to)
	return x.inPartitionLock(ctx,
		`lock table `+restName+` in access exclusive mode`,
		`create table `+p.name+` (like journal including defaults including constraints)`,
		`with moved as (delete from `+restName+` where `+within+` returning *) insert into `+p.name+` select * from moved`,
		fmt.Sprintf(`alter table journal attach partition %s for values from ('%s') to ('%s')`, p.name, from, to),
	)
}

// inPartitionLock runs statements that change the partitions. It does nothing if another
// gateway changes them, has changed them already, or if a reader is in the way for long:
// the next call does what is left then.
func (x *Index) inPartitionLock(ctx context.Context, statements ...string) error {
	err := pgx.BeginFunc(ctx, x.pool, func(tx pgx.Tx) error {
		var isFree bool
		if err := tx.QueryRow(ctx, `select pg_try_advisory_xact_lock($1)`, int64(partitionLock)).Scan(&isFree); err != nil || !isFree {
			return err
		}
		for _, statement := range append([]string{sqlPartitionLockTimeout}, statements...) {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && (refused.Code == codeLockTimeout || refused.Code == codeDuplicateTable) {
		return nil
	}
	return err
}

// The codes of Postgres's errors.
const (
	codeLockTimeout    = "55P03"
	codeDuplicateTable = "42P07"
	codeNoTable        = "42P01"
)

// pruneRows removes records one by one. Those of days that are over have a partition to drop,
// unless that failed.
func (x *Index) pruneRows(ctx context.Context, p journal.Prune, last journal.Cursor, dropFailed bool) (pruned int, err error) {
	all, err := x.partitions(ctx)
	for _, in := range all {
		if err == nil && !p.Before.IsZero() && (!in.isDay() || dropFailed) {
			var n int
			n, err = x.deleteRecords(ctx, in, p.Limit-pruned, `started_at < $1 order by started_at, cursor`, p.Before.UTC())
			pruned += n
		}
		if err == nil && last > 0 {
			var n int
			n, err = x.deleteRecords(ctx, in, p.Limit-pruned, `cursor <= $1 order by cursor`, int64(last))
			pruned += n
		}
	}
	return pruned, err
}

// deleteRecords deletes at most limit records of a partition. Gateways that prune at the
// same time get different ones.
func (x *Index) deleteRecords(ctx context.Context, in partition, limit int, which string, bound any) (int, error) {
	if limit == 0 {
		return 0, nil
	}
	tag, err := x.pool.Exec(ctx, `delete from `+in.name+` where ctid = any(array(
    select ctid from `+in.name+` where `+which+` limit $2 for update skip locked
))`, bound, int64(limit))
	if isNoTable(err) {
		return 0, nil
	}
	return int(tag.RowsAffected()), err
}

// isNoTable reports whether another gateway has dropped a partition meanwhile.
func isNoTable(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && refused.Code == codeNoTable
}
