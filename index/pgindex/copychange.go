package pgindex

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/index/sqlrow"
	"casgate/providers/ledger"
)

// copiesChannel carries the announcements of changed copies and extracted texts: the
// 64 hex digits of their blob's digest.
const copiesChannel = "casgate_copies"

var copyTable = sqlrow.Copies(sqlrow.Postgres)

// thisCopy is the condition that the row "c" is that of keyArgs.
const thisCopy = `c.digest = $1 and c.provider = $2 and c.account = $3 and c.purpose = $4 and c.extension = $5`

// keyArgs returns the first five arguments of a statement about one row, before more.
func keyArgs(k ledger.Key, more ...any) []any {
	return append([]any{k.Digest[:], k.Provider, k.Account, k.Purpose, k.Extension}, more...)
}

// changedCopy returns a row that a statement has changed, and announces it: the
// announcement goes out if, and only if, the change is committed.
var changedCopy = copyTable.SelectOf("c") + `, pg_notify('` + copiesChannel + `', encode(c.digest, 'hex'))`

// copyVersion is a row as one statement has read it. Postgres gives a row another xmin
// with each change.
type copyVersion struct {
	row   ledger.Copy // zero if there is none
	xmin  string
	clock time.Time // the time of that statement
}

// The outer join returns the clock even if there is no row.
var sqlCopyVersion = `
select ` + copyTable.SelectOf("c") + `, c.xmin::text, now()
from (values (true)) as always left join copies c on ` + thisCopy

// copyVersion reads a row and the database's clock.
func (x *Index) copyVersion(ctx context.Context, k ledger.Key) (copyVersion, error) {
	// An error of Query comes out of CollectExactlyOneRow.
	rows, _ := x.pool.Query(ctx, sqlCopyVersion, keyArgs(k)...)
	return pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (v copyVersion, err error) {
		if values := row.RawValues(); values[0] == nil {
			targets := make([]any, len(values)) // a column without a target is skipped
			targets[len(targets)-1] = &v.clock
			return v, row.Scan(targets...)
		}
		v.row, err = copyTable.Scan(row, &v.xmin, &v.clock)
		return v, err
	})
}

var (
	sqlInsertCopy = `
insert into copies as c (` + copyTable.Names() + `) values (` + copyTable.Placeholders(1) + `)
on conflict do nothing
returning ` + changedCopy

	// The arguments of the row come first, then its version.
	sqlUpdateCopy = `
update copies c set ` + copyTable.Without(sqlrow.CopyKey...).AssignPlaceholders(len(sqlrow.CopyKey)+1) + `
where ` + thisCopy + ` and c.xmin::text = ` + sqlrow.Postgres.Placeholder(copyTable.Len()+1) + `
returning ` + changedCopy
)

// swapCopy replaces a version of a row by next, and returns the row as stored. The
// error is pgx.ErrNoRows if the row is no longer of this version.
func (x *Index) swapCopy(ctx context.Context, v copyVersion, next ledger.Copy) (ledger.Copy, error) {
	statement, args := sqlInsertCopy, copyTable.Args(next)
	if v.xmin != "" {
		statement, args = sqlUpdateCopy, append(args, v.xmin)
	}
	return copyTable.Scan(x.pool.QueryRow(ctx, statement, args...), nil)
}

// Change implements ledger.Store. It compares and swaps: it takes no lock between
// reading and writing the row, and begins again if another client has changed the row
// in between. A transition that is refused costs one read, and waits for no lock.
func (x *Index) Change(ctx context.Context, t ledger.Transition) (c ledger.Copy, done bool, err error) {
	if err := t.Check(); err != nil {
		return ledger.Copy{}, false, err
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	for {
		v, err := x.copyVersion(call, t.Key)
		if err != nil {
			return ledger.Copy{}, false, fault(ctx, t.String(), err)
		}
		next, outcome, err := t.Apply(v.row, v.clock.UTC())
		if err != nil || outcome != ledger.Changed {
			return next, outcome == ledger.Repeated, err
		}
		stored, err := x.swapCopy(call, v, next)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return ledger.Copy{}, false, fault(ctx, t.String(), err)
		}
		return stored, true, nil
	}
}

// noCopy returns the error for a row that doesn't exist.
func noCopy(doing string, k ledger.Key) error {
	return fmt.Errorf("%s copy %s: %w", doing, k, ledger.ErrNotFound)
}
