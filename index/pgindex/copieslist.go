package pgindex

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/index"
	"casgate/providers/ledger"
)

const sqlCopy = `select ` + copyColumns + ` from copies c where ` + thisCopy + ` and c.state <> 'deleted'`

// Copy implements ledger.Store.
func (x *Index) Copy(ctx context.Context, k ledger.Key) (ledger.Copy, error) {
	if index.CheckKey(k) != nil {
		return ledger.Copy{}, noCopy("look up", k)
	}
	call, cancel := bounded(ctx)
	defer cancel()
	c, err := scanCopy(x.pool.QueryRow(call, sqlCopy, keyArgs(k)...))
	if err != nil {
		return ledger.Copy{}, copyFault(ctx, "look up", k, err)
	}
	return c, nil
}

// copies reads all rows of a query.
func (x *Index) copies(ctx context.Context, query string, args ...any) ([]ledger.Copy, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	// An error of Query comes out of CollectRows.
	rows, _ := x.pool.Query(ctx, query, args...)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (ledger.Copy, error) { return scanCopy(row) })
}

const sqlCopies = `
select ` + copyColumns + ` from copies
where digest = $1 and state <> 'deleted'
order by created_at, provider, account, purpose, extension`

// Copies implements ledger.Store.
func (x *Index) Copies(ctx context.Context, d cas.Digest) ([]ledger.Copy, error) {
	list, err := x.copies(ctx, sqlCopies, d[:])
	if err != nil {
		return nil, fault(ctx, "list the copies of "+d.Short(), err)
	}
	return list, nil
}

const sqlCopyOfOperation = `select ` + copyColumns + ` from copies where operation_id = $1 and operation_id <> '' limit 1`

// CopyOfOperation implements ledger.Store.
func (x *Index) CopyOfOperation(ctx context.Context, operationID string) (ledger.Copy, error) {
	doing := fmt.Sprintf("look up the copy of operation %q", operationID)
	if index.CheckText("operation", operationID) != nil {
		return ledger.Copy{}, fmt.Errorf("%s: %w", doing, ledger.ErrNotFound)
	}
	list, err := x.copies(ctx, sqlCopyOfOperation, operationID)
	if err != nil {
		return ledger.Copy{}, fault(ctx, doing, err)
	}
	if len(list) == 0 {
		return ledger.Copy{}, fmt.Errorf("%s: %w", doing, ledger.ErrNotFound)
	}
	return list[0], nil
}

// Each account's rows come in order out of the index, so no more than the limit of
// them are read, however many are due.
const sqlDueCopies = `
select ` + copyColumns + `
from unnest($1::text[]) as a(of)
cross join lateral (
    select ` + copyFields + ` from copies c
    where c.account = a.of
      and c.state in ('pending', 'uploading', 'processing', 'unverified', 'deleting')
      and greatest(c.next_attempt_at, c.lease_until) <= now()
    order by greatest(c.next_attempt_at, c.lease_until)
    limit $2
) as due
order by greatest(next_attempt_at, lease_until)
limit $2`

// DueCopies implements ledger.Store.
func (x *Index) DueCopies(ctx context.Context, accounts []string, limit int) ([]ledger.Copy, error) {
	if limit < 1 {
		return nil, fmt.Errorf("list due copies: a limit of %d; it must be at least 1", limit)
	}
	known := slices.DeleteFunc(slices.Clone(accounts), func(a string) bool { return index.CheckText("account", a) != nil })
	list, err := x.copies(ctx, sqlDueCopies, known, int64(limit))
	if err != nil {
		return nil, fault(ctx, "list due copies", err)
	}
	return list, nil
}

const sqlCopyUsage = `
select purpose, count(*), sum(size)::bigint from copies
where account = $1 and state in ('uploading', 'processing', 'unverified', 'ready', 'deleting')
group by purpose
order by purpose`

// CopyUsage implements ledger.Store.
func (x *Index) CopyUsage(ctx context.Context, account string) ([]ledger.Usage, error) {
	if index.CheckText("account", account) != nil {
		return nil, nil
	}
	call, cancel := bounded(ctx)
	defer cancel()
	// An error of Query comes out of CollectRows.
	rows, _ := x.pool.Query(call, sqlCopyUsage, account)
	usage, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (u ledger.Usage, err error) {
		err = row.Scan(&u.Purpose, &u.Files, &u.Bytes)
		return u, err
	})
	if err != nil {
		return nil, fault(ctx, "count the copies of an account", err)
	}
	return usage, nil
}

// The provider is in the order, and in the key to begin after, only because it is in
// the primary key, which then gives both. No row has the zero digest, so that the
// zero key lies before them all.
const sqlCopiesAt = `
select ` + copyColumns + ` from copies
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
	if err := index.CheckKey(after); err != nil {
		return nil, fmt.Errorf("list copies: %w", err)
	}
	list, err := x.copies(ctx, sqlCopiesAt, keyArgs(after, int64(limit))...)
	if err != nil {
		return nil, fault(ctx, "list the copies at "+provider, err)
	}
	return list, nil
}

// Every gateway writes its batch over the same rows: locking them in one order keeps
// two batches from waiting for each other in a circle. A row that had to be waited for
// is judged again as it is then, and one that is known to be used later isn't written.
// Nobody is told: to have been
// used changes nothing for anybody but who makes room, and asks then.
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
		if index.CheckKey(k) != nil {
			continue // there is no such row
		}
		digests = append(digests, k.Digest[:])
		names, accounts = append(names, k.Provider), append(accounts, k.Account)
		purposes, extensions = append(purposes, k.Purpose), append(extensions, k.Extension)
		times = append(times, at.UTC())
	}
	call, cancel := bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlUseCopies, digests, names, accounts, purposes, extensions, times); err != nil {
		return fault(ctx, fmt.Sprintf("record the use of %d copies", len(times)), err)
	}
	return nil
}
