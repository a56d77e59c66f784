package pgindex

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/providers/ledger"
)

var sqlCopy = `select ` + copyTable.Select() + ` from copies c where ` + thisCopy + ` and c.state <> 'deleted'`

// Copy implements ledger.Store.
func (x *Index) Copy(ctx context.Context, k ledger.Key) (ledger.Copy, error) {
	if k.Check() != nil {
		return ledger.Copy{}, noCopy("look up", k)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	c, err := copyTable.Scan(x.pool.QueryRow(call, sqlCopy, keyArgs(k)...))
	if errors.Is(err, pgx.ErrNoRows) {
		return ledger.Copy{}, noCopy("look up", k)
	}
	if err != nil {
		return ledger.Copy{}, fault(ctx, "look up copy "+k.String(), err)
	}
	return c, nil
}

var sqlCopies = `
select ` + copyTable.Select() + ` from copies
where digest = $1 and state <> 'deleted'
order by created_at, provider, account, purpose, extension`

// Copies implements ledger.Store.
func (x *Index) Copies(ctx context.Context, d cas.Digest) ([]ledger.Copy, error) {
	copies, err := list(ctx, x, copyTable, sqlCopies, d[:])
	if err != nil {
		return nil, fault(ctx, "list the copies of "+d.Short(), err)
	}
	return copies, nil
}

// A row that another client has locked is skipped: it is being changed, or several
// gateways make room at once. The lock ends with this statement; Change then checks
// the row's version. The index copies_used returns the rows of each purpose in the order of
// the minutes of their last use, so no more are read of each than the limit and a minute's.
var sqlLeastUsed = `
select ` + copyTable.SelectOf("c") + `
from (select distinct purpose from copy_totals where account = $3 and ($6::text = '' or purpose = $6)) as p
cross join lateral (
    select * from copies c
    where c.account = $3 and c.purpose = p.purpose and c.state = 'ready' and not (` + thisCopy + `)
    order by c.used_minute, greatest(c.last_used_at, c.ready_at)
    limit $7
    for no key update skip locked
) as c
order by greatest(c.last_used_at, c.ready_at)
limit $7`

// LeastUsed implements ledger.Store.
func (x *Index) LeastUsed(ctx context.Context, room ledger.Key, purpose string, limit int) ([]ledger.Copy, error) {
	return x.toMakeRoom(ctx, sqlLeastUsed, room, purpose, limit)
}

// The index copies_expiring returns the rows of each purpose in this order.
var sqlExpired = `
select ` + copyTable.SelectOf("c") + `
from (select distinct purpose from copy_totals where account = $3 and ($6::text = '' or purpose = $6)) as p
cross join lateral (
    select * from copies c
    where c.account = $3 and c.purpose = p.purpose and c.state = 'ready' and c.expires_at <= now() and not (` + thisCopy + `)
    order by c.expires_at
    limit $7
    for no key update skip locked
) as c
order by c.expires_at
limit $7`

// Expired implements ledger.Store.
func (x *Index) Expired(ctx context.Context, room ledger.Key, purpose string, limit int) ([]ledger.Copy, error) {
	return x.toMakeRoom(ctx, sqlExpired, room, purpose, limit)
}

// toMakeRoom returns copies that may be evicted to make room for one.
func (x *Index) toMakeRoom(ctx context.Context, query string, room ledger.Key, purpose string, limit int) ([]ledger.Copy, error) {
	if room.Check() != nil || cas.CheckText("purpose", purpose) != nil {
		return nil, nil // no row is of that account or purpose
	}
	copies, err := list(ctx, x, copyTable, query, keyArgs(room, purpose, int64(limit))...)
	if err != nil {
		return nil, fault(ctx, "find copies to make room for "+room.String(), err)
	}
	return copies, nil
}

var sqlDeletes = `
select ` + copyTable.Select() + ` from copies
where account = $1 and state = 'deleting' and file_id <> ''
order by greatest(next_attempt_at, lease_until)`

// Deletes implements ledger.Store.
func (x *Index) Deletes(ctx context.Context, account string) ([]ledger.Copy, error) {
	if cas.CheckText("account", account) != nil {
		return nil, nil // no row is of that account
	}
	copies, err := list(ctx, x, copyTable, sqlDeletes, account)
	if err != nil {
		return nil, fault(ctx, "list the deletes of an account", err)
	}
	return copies, nil
}

var sqlCopyOfOperation = `
select ` + copyTable.Select() + ` from copies where operation_id = $1 and operation_id <> ''
union all
select ` + copyTable.Select() + ` from copies
where later_deletes is not null and later_deletes ? $1 and state in ('deleting', 'deleted')
limit 1`

// CopyOfOperation implements ledger.Store.
func (x *Index) CopyOfOperation(ctx context.Context, operationID string) (ledger.Copy, error) {
	doing := fmt.Sprintf("look up the copy of operation %q", operationID)
	if cas.CheckText("operation", operationID) != nil {
		return ledger.Copy{}, fmt.Errorf("%s: %w", doing, ledger.ErrNotFound)
	}
	copies, err := list(ctx, x, copyTable, sqlCopyOfOperation, operationID)
	if err != nil {
		return ledger.Copy{}, fault(ctx, doing, err)
	}
	if len(copies) == 0 {
		return ledger.Copy{}, fmt.Errorf("%s: %w", doing, ledger.ErrNotFound)
	}
	return copies[0], nil
}

// The two indexes return each account's rows in order, so no more than twice the limit
// of them are read, however many are due. No row is in both.
var sqlDueCopies = `
select ` + copyTable.Select() + `
from unnest($1::text[]) as a(of)
cross join lateral (
    (select ` + copyTable.NamesOf("c") + `, greatest(c.next_attempt_at, c.lease_until) as due_at from copies c
    where c.account = a.of
      and c.state in ('pending', 'uploading', 'processing', 'unverified', 'deleting')
      and greatest(c.next_attempt_at, c.lease_until) <= now()
    order by greatest(c.next_attempt_at, c.lease_until)
    limit $2)
    union all
    (select ` + copyTable.NamesOf("c") + `, c.look_at from copies c
    where c.account = a.of and c.look_at <= now()
    order by c.look_at
    limit $2)
) as due
order by due_at
limit $2`

// DueCopies implements ledger.Store.
func (x *Index) DueCopies(ctx context.Context, accounts []string, limit int) ([]ledger.Copy, error) {
	if limit < 1 {
		return nil, fmt.Errorf("list due copies: a limit of %d; it must be at least 1", limit)
	}
	known := slices.DeleteFunc(slices.Clone(accounts), func(a string) bool { return cas.CheckText("account", a) != nil })
	copies, err := list(ctx, x, copyTable, sqlDueCopies, known, int64(limit))
	if err != nil {
		return nil, fault(ctx, "list due copies", err)
	}
	return copies, nil
}

const sqlCopyUsage = `
select purpose, sum(files)::bigint, sum(bytes)::bigint, sum(uploading_files)::bigint, sum(uploading_bytes)::bigint
from copy_totals
where account = $1
group by purpose
having sum(files) > 0
order by purpose`

// CopyUsage implements ledger.Store.
func (x *Index) CopyUsage(ctx context.Context, account string) ([]ledger.Usage, error) {
	if cas.CheckText("account", account) != nil {
		return nil, nil
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	// An error of Query comes out of CollectRows.
	rows, _ := x.pool.Query(call, sqlCopyUsage, account)
	usage, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (u ledger.Usage, err error) {
		err = row.Scan(&u.Purpose, &u.Files, &u.Bytes, &u.UploadingFiles, &u.UploadingBytes)
		return u, err
	})
	if err != nil {
		return nil, fault(ctx, "count the copies of an account", err)
	}
	return usage, nil
}

// The order and the start key name the provider only because the primary key does: its
// index then gives both. No row has the zero digest, so the zero key lies before all
// rows.
var sqlCopiesAt = `
select ` + copyTable.Select() + ` from copies
where provider = $2 and state <> 'deleted'
  and (digest, provider, account, purpose, extension) > ($1::bytea, $2::text, $3::text, $4::text, $5::text)
order by digest, provider, account, purpose, extension
limit $6`

// CopiesAt implements ledger.Store.
func (x *Index) CopiesAt(ctx context.Context, provider string, after ledger.Key, limit int) ([]ledger.Copy, error) {
	if limit < 1 {
		return nil, fmt.Errorf("list copies: a limit of %d; it must be at least 1", limit)
	}
	after.Provider = provider
	if err := after.Check(); err != nil {
		return nil, fmt.Errorf("list copies: %w", err)
	}
	copies, err := list(ctx, x, copyTable, sqlCopiesAt, keyArgs(after, int64(limit))...)
	if err != nil {
		return nil, fault(ctx, "list the copies at "+provider, err)
	}
	return copies, nil
}

// All gateways write their batches to the same rows. They lock them in one order, so
// that two batches never wait for each other in a circle. After a wait the conditions
// are checked again on the row as it is then. A row with a later use is not written.
// Uses are not announced: only LeastUsed depends on them, and it reads the database.
const sqlUseCopies = `
with used as materialized (
    select c.digest, c.provider, c.account, c.purpose, c.extension, u.used_at
    from copies c
    join unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
        as u(digest, provider, account, purpose, extension, used_at)
      on (c.digest, c.provider, c.account, c.purpose, c.extension) = (u.digest, u.provider, u.account, u.purpose, u.extension)
    where c.state <> 'deleted' and (c.last_used_at is null or c.last_used_at < u.used_at)
    order by c.digest, c.provider, c.account, c.purpose, c.extension
    for update of c
)
update copies c set last_used_at = u.used_at
from used u
where (c.digest, c.provider, c.account, c.purpose, c.extension) = (u.digest, u.provider, u.account, u.purpose, u.extension)`

// UseCopies implements ledger.Store.
func (x *Index) UseCopies(ctx context.Context, uses map[ledger.Key]time.Time) error {
	if len(uses) == 0 {
		return nil
	}
	var digests [][]byte
	var names, accounts, purposes, extensions []string
	var times []time.Time
	for k, at := range uses {
		if k.Check() != nil {
			continue // there is no such row
		}
		digests = append(digests, k.Digest[:])
		names, accounts = append(names, k.Provider), append(accounts, k.Account)
		purposes, extensions = append(purposes, k.Purpose), append(extensions, k.Extension)
		times = append(times, at.UTC())
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlUseCopies, digests, names, accounts, purposes, extensions, times); err != nil {
		return fault(ctx, fmt.Sprintf("record the use of %d copies", len(times)), err)
	}
	return nil
}
