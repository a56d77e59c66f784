package sqliteindex

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"casgate/cas"
	"casgate/providers/ledger"
)

// Copy implements ledger.Store.
func (x *Index) Copy(ctx context.Context, k ledger.Key) (ledger.Copy, error) {
	if k.Check() != nil {
		return ledger.Copy{}, noCopy("look up", k)
	}
	c, err := x.readCopy(ctx, k)
	if err != nil {
		return ledger.Copy{}, fault(ctx, "look up copy "+k.String(), err)
	}
	if c.State == "" || c.State == ledger.StateDeleted {
		return ledger.Copy{}, noCopy("look up", k)
	}
	return c, nil
}

var sqlCopies = `
select ` + copyTable.Select() + ` from copies
where digest = ? and state <> 'deleted'
order by created_at, provider, account, purpose, extension`

// Copies implements ledger.Store.
func (x *Index) Copies(ctx context.Context, d cas.Digest) ([]ledger.Copy, error) {
	copies, err := list(ctx, x, copyTable, sqlCopies, d[:])
	if err != nil {
		return nil, fault(ctx, "list the copies of "+d.Short(), err)
	}
	return copies, nil
}

const sqlPurposes = `select purpose from copy_totals where account = ?1 and (?2 = '' or purpose = ?2) and files > 0`

// The index copies_used returns the rows of a purpose in order.
var sqlLeastUsed = `
select ` + copyTable.Select() + ` from copies
where account = ?3 and state = 'ready' and purpose = ?6 and not (` + thisCopy + `)
order by max(coalesce(last_used_at, ready_at), ready_at)
limit ?7`

// LeastUsed implements ledger.Store.
func (x *Index) LeastUsed(ctx context.Context, room ledger.Key, purpose string, limit int) ([]ledger.Copy, error) {
	return x.toMakeRoom(ctx, room, purpose, limit, sqlLeastUsed, nil, func(a, b ledger.Copy) int { return a.LastUse().Compare(b.LastUse()) })
}

// The index copies_expiring returns the rows of a purpose in order.
var sqlExpired = `
select ` + copyTable.Select() + ` from copies
where account = ?3 and state = 'ready' and purpose = ?6 and expires_at <= ?8 and not (` + thisCopy + `)
order by expires_at
limit ?7`

// Expired implements ledger.Store.
func (x *Index) Expired(ctx context.Context, room ledger.Key, purpose string, limit int) ([]ledger.Copy, error) {
	return x.toMakeRoom(ctx, room, purpose, limit, sqlExpired, []any{now()}, func(a, b ledger.Copy) int { return a.ExpiresAt.Compare(b.ExpiresAt) })
}

// toMakeRoom returns copies that may be evicted to make room for one: those that a query
// returns of each purpose, in an order. The args are those that only this query has.
func (x *Index) toMakeRoom(ctx context.Context, room ledger.Key, purpose string, limit int, query string, args []any, order func(a, b ledger.Copy) int) ([]ledger.Copy, error) {
	doing := "find copies to make room for " + room.String()
	scan := func(row scanner) (p string, err error) {
		err = row.Scan(&p)
		return p, err
	}
	purposes, err := collect(ctx, x, scan, sqlPurposes, room.Account, purpose)
	if err != nil {
		return nil, fault(ctx, doing, err)
	}
	var copies []ledger.Copy
	for _, p := range purposes {
		some, err := list(ctx, x, copyTable, query, append(keyArgs(room, p, limit), args...)...)
		if err != nil {
			return nil, fault(ctx, doing, err)
		}
		copies = append(copies, some...)
	}
	slices.SortStableFunc(copies, order)
	return copies[:min(len(copies), limit)], nil
}

// The condition repeats the states of the index copies_due.
const sqlEndLeases = `
update copies set lease_until = ?1, next_attempt_at = case when state = 'deleting' then ?1 else next_attempt_at end
where state in ('pending', 'uploading', 'processing', 'unverified', 'deleting') and lease_until > ?1`

// EndLeases ends all leases of copies, so that their work does not wait for the leases of a
// gateway that is gone. A process that does work on a copy, such as `cas gc`, loses its
// lease: the next claim has a higher fence, and only its holder changes the row.
func (x *Index) EndLeases(ctx context.Context) error {
	err := x.free(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, sqlEndLeases, now())
		return err
	})
	if err != nil {
		return fault(ctx, "end the leases of copies", err)
	}
	return nil
}

var sqlDeletes = `
select ` + copyTable.Select() + ` from copies
where account = ? and state = 'deleting' and file_id <> ''
order by ` + dueAt

// Deletes implements ledger.Store.
func (x *Index) Deletes(ctx context.Context, account string) ([]ledger.Copy, error) {
	copies, err := list(ctx, x, copyTable, sqlDeletes, account)
	if err != nil {
		return nil, fault(ctx, "list the deletes of an account", err)
	}
	return copies, nil
}

// Few rows have later deletes.
var sqlCopyOfOperation = `
select ` + copyTable.Select() + ` from copies where operation_id = ?1 and operation_id <> ''
union all
select ` + copyTable.Select() + ` from copies indexed by copies_later_deletes
where later_deletes is not null and ?1 in (select value from json_each(later_deletes)) and state in ('deleting', 'deleted')
limit 1`

// CopyOfOperation implements ledger.Store.
func (x *Index) CopyOfOperation(ctx context.Context, operationID string) (ledger.Copy, error) {
	doing := fmt.Sprintf("look up the copy of operation %q", operationID)
	copies, err := list(ctx, x, copyTable, sqlCopyOfOperation, operationID)
	if err != nil {
		return ledger.Copy{}, fault(ctx, doing, err)
	}
	if len(copies) == 0 {
		return ledger.Copy{}, fmt.Errorf("%s: %w", doing, ledger.ErrNotFound)
	}
	return copies[0], nil
}

// dueAt is the expression of the index copies_due.
const dueAt = `max(coalesce(next_attempt_at, lease_until), coalesce(lease_until, next_attempt_at))`

var sqlDueCopies = `
select ` + copyTable.Select() + ` from (
    select *, ` + dueAt + ` as due_at from copies
    where account in (select value from json_each(?1))
      and state in ('pending', 'uploading', 'processing', 'unverified', 'deleting')
      and ` + dueAt + ` <= ?2
    union all
    select *, look_at from copies
    where account in (select value from json_each(?1)) and look_at <= ?2
)
order by due_at
limit ?3`

// DueCopies implements ledger.Store.
func (x *Index) DueCopies(ctx context.Context, accounts []string, limit int) ([]ledger.Copy, error) {
	if limit < 1 {
		return nil, fmt.Errorf("list due copies: a limit of %d; it must be at least 1", limit)
	}
	known := slices.DeleteFunc(slices.Clone(accounts), func(a string) bool { return cas.CheckText("account", a) != nil })
	among, err := json.Marshal(known)
	if err != nil {
		return nil, fmt.Errorf("list due copies: %w", err)
	}
	due, err := list(ctx, x, copyTable, sqlDueCopies, string(among), now(), limit)
	if err != nil {
		return nil, fault(ctx, "list due copies", err)
	}
	return due, nil
}

const sqlCopyUsage = `
select purpose, files, bytes, uploading_files, uploading_bytes from copy_totals
where account = ? and files > 0
order by purpose`

// CopyUsage implements ledger.Store.
func (x *Index) CopyUsage(ctx context.Context, account string) ([]ledger.Usage, error) {
	scan := func(row scanner) (u ledger.Usage, err error) {
		err = row.Scan(&u.Purpose, &u.Files, &u.Bytes, &u.UploadingFiles, &u.UploadingBytes)
		return u, err
	}
	usage, err := collect(ctx, x, scan, sqlCopyUsage, account)
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
where provider = ?2 and state <> 'deleted'
  and (digest, provider, account, purpose, extension) > (?1, ?2, ?3, ?4, ?5)
order by digest, provider, account, purpose, extension
limit ?6`

// CopiesAt implements ledger.Store.
func (x *Index) CopiesAt(ctx context.Context, provider string, after ledger.Key, limit int) ([]ledger.Copy, error) {
	if limit < 1 {
		return nil, fmt.Errorf("list copies: a limit of %d; it must be at least 1", limit)
	}
	after.Provider = provider
	if err := after.Check(); err != nil {
		return nil, fmt.Errorf("list copies: %w", err)
	}
	copies, err := list(ctx, x, copyTable, sqlCopiesAt, keyArgs(after, limit)...)
	if err != nil {
		return nil, fault(ctx, "list the copies at "+provider, err)
	}
	return copies, nil
}

const sqlUseCopy = `
update copies set last_used_at = ?6
where ` + thisCopy + ` and state <> 'deleted' and (last_used_at is null or last_used_at < ?6)`

// UseCopies implements ledger.Store.
func (x *Index) UseCopies(ctx context.Context, uses map[ledger.Key]time.Time) error {
	if len(uses) == 0 {
		return nil
	}
	err := x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for k, at := range uses {
			if _, err := tx.ExecContext(ctx, sqlUseCopy, keyArgs(k, at.UnixMicro())...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fault(ctx, fmt.Sprintf("record the use of %d copies", len(uses)), err)
	}
	return nil
}
