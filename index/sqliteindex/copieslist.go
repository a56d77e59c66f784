package sqliteindex

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"casgate/cas"
	"casgate/index"
	"casgate/providers/ledger"
)

// Copy implements ledger.Store.
func (x *Index) Copy(ctx context.Context, k ledger.Key) (ledger.Copy, error) {
	if index.CheckKey(k) != nil {
		return ledger.Copy{}, noCopy("look up", k)
	}
	call, cancel := bounded(ctx)
	defer cancel()
	stmt, err := x.copyRow.on(call, x.reader)
	if err != nil {
		return ledger.Copy{}, copyFault(ctx, "look up", k, err)
	}
	r, err := scanCopy(stmt.QueryRowContext(call, keyArgs(k)...))
	if err == nil && r.State == ledger.StateDeleted {
		err = sql.ErrNoRows
	}
	if err != nil {
		return ledger.Copy{}, copyFault(ctx, "look up", k, err)
	}
	return r.Copy, nil
}

// copies reads all rows of a query.
func (x *Index) copies(ctx context.Context, query string, args ...any) ([]ledger.Copy, error) {
	scan := func(row scanner) (ledger.Copy, error) {
		r, err := scanCopy(row)
		return r.Copy, err
	}
	return collect(ctx, x, scan, query, args...)
}

const sqlCopies = `
select ` + copyColumns + ` from copies
where digest = ? and state <> 'deleted'
order by created_at, provider, account, purpose, extension`

// Copies implements ledger.Store.
func (x *Index) Copies(ctx context.Context, d cas.Digest) ([]ledger.Copy, error) {
	list, err := x.copies(ctx, sqlCopies, d[:])
	if err != nil {
		return nil, fault(ctx, "list the copies of "+d.Short(), err)
	}
	return list, nil
}

const sqlCopyOfOperation = `select ` + copyColumns + ` from copies where operation_id = ? and operation_id <> '' limit 1`

// CopyOfOperation implements ledger.Store.
func (x *Index) CopyOfOperation(ctx context.Context, operationID string) (ledger.Copy, error) {
	doing := fmt.Sprintf("look up the copy of operation %q", operationID)
	list, err := x.copies(ctx, sqlCopyOfOperation, operationID)
	if err != nil {
		return ledger.Copy{}, fault(ctx, doing, err)
	}
	if len(list) == 0 {
		return ledger.Copy{}, fmt.Errorf("%s: %w", doing, ledger.ErrNotFound)
	}
	return list[0], nil
}

// The expression is that of the index.
const (
	dueAt = `max(coalesce(next_attempt_at, lease_until), coalesce(lease_until, next_attempt_at))`

	sqlDueCopies = `
select ` + copyColumns + ` from copies
where account in (select value from json_each(?1))
  and state in ('pending', 'uploading', 'processing', 'unverified', 'deleting')
  and ` + dueAt + ` <= ?2
order by ` + dueAt + `
limit ?3`
)

// DueCopies implements ledger.Store.
func (x *Index) DueCopies(ctx context.Context, accounts []string, limit int) ([]ledger.Copy, error) {
	if limit < 1 {
		return nil, fmt.Errorf("list due copies: a limit of %d; it must be at least 1", limit)
	}
	known := slices.DeleteFunc(slices.Clone(accounts), func(a string) bool { return index.CheckText("account", a) != nil })
	list, err := json.Marshal(known)
	if err != nil {
		return nil, fmt.Errorf("list due copies: %w", err)
	}
	due, err := x.copies(ctx, sqlDueCopies, string(list), now(), limit)
	if err != nil {
		return nil, fault(ctx, "list due copies", err)
	}
	return due, nil
}

const sqlCopyUsage = `
select purpose, count(*), sum(size) from copies
where account = ? and state in ('uploading', 'processing', 'unverified', 'ready', 'deleting')
group by purpose
order by purpose`

// CopyUsage implements ledger.Store.
func (x *Index) CopyUsage(ctx context.Context, account string) ([]ledger.Usage, error) {
	scan := func(row scanner) (u ledger.Usage, err error) {
		err = row.Scan(&u.Purpose, &u.Files, &u.Bytes)
		return u, err
	}
	usage, err := collect(ctx, x, scan, sqlCopyUsage, account)
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
	if err := index.CheckKey(after); err != nil {
		return nil, fmt.Errorf("list copies: %w", err)
	}
	list, err := x.copies(ctx, sqlCopiesAt, keyArgs(after, limit)...)
	if err != nil {
		return nil, fault(ctx, "list the copies at "+provider, err)
	}
	return list, nil
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
		stmt, err := tx.PrepareContext(ctx, sqlUseCopy)
		if err != nil {
			return err
		}
		defer stmt.Close()
		for k, at := range uses {
			if _, err := stmt.ExecContext(ctx, keyArgs(k, at.UnixMicro())...); err != nil {
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
