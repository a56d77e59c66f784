package pgindex

import (
	"context"
	"fmt"
	"time"

	"casgate/index"
	"casgate/providers"
	"casgate/providers/ledger"
)

// claimable is the condition that the row "c" may be claimed, with the margin as
// $10 and whether to retry as $11. A pending row never has a lease.
const claimable = `coalesce(case c.state
            when 'evicted' then true
            when 'deleted' then true
            when 'pending' then $11::boolean or c.next_attempt_at <= now()
            when 'failed' then $11::boolean or c.next_attempt_at <= now()
            when 'lost' then $11::boolean or c.next_attempt_at <= now()
            when 'uploading' then c.lease_until <= now()
            when 'processing' then c.lease_until <= now()
            when 'unverified' then c.lease_until is null or c.lease_until <= now()
            when 'ready' then c.expires_at <= now() + $10::interval
            when 'deleting' then false
        end, false)`

// wantedArgs are the arguments that claimable and the statements with it have.
func wantedArgs(w ledger.Wanted, more ...any) []any {
	return append(keyArgs(w.Key, w.Name, w.MediaType, w.Size, w.OperationID, w.Margin, w.Retry), more...)
}

// claimOf makes a statement that inserts the row of wantedArgs with the further
// values, or changes it where condition holds, and returns it; or else returns the
// row as it is. A row that isn't to be changed is not even locked.
//
// "seen" is the row in the statement's snapshot. On a conflict Postgres locks the
// row and asks again whether its newest version can be claimed, so of many callers
// one has it. The others, who had seen what could be claimed and then couldn't
// claim it, get nothing, and look again.
func claimOf(condition, columns, values, set string) string {
	return `
with seen as materialized (
    select ` + copyFields + `,
        ` + condition + ` as claimable
    from copies c
    where ` + thisCopy + `
), changed as (
    insert into copies as c (digest, provider, account, purpose, extension, name, media_type, size, operation_id, ` + columns + `)
    select $1::bytea, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text, $8::bigint, $9::text, ` + values + `
    where not exists (select from seen where not claimable)
    on conflict (digest, provider, account, purpose, extension) do update set
        name = excluded.name, media_type = excluded.media_type, size = excluded.size,
        uncertain = c.uncertain or c.state = 'uploading',
        created_at = case c.state when 'deleted' then now() else c.created_at end,
        ` + set + `
    where ` + condition + `
    returning ` + changedCopy + `
)
select ` + copyColumns + `, true as changed from changed
union all
select ` + copyColumns + `, false from seen where not claimable`
}

// operationOf is the operation of a row once it is asked for, see
// ledger.Copy.IsAskedFor.
const operationOf = `case
            when c.state in ('pending', 'uploading', 'processing') then c.operation_id
            when c.state = 'unverified' and (c.next_attempt_at is not null or c.lease_until is not null) then c.operation_id
            else excluded.operation_id
        end`

// What is in process is as good as requested.
var sqlRequestCopy = claimOf(`c.state <> 'processing' and `+claimable,
	`state, fence, next_attempt_at`, `'pending', 0, now()`, `
        state = case c.state when 'unverified' then 'unverified' else 'pending' end, operation_id = `+operationOf+`, attempts = 0, error = null,
        next_attempt_at = now(), lease_until = null`)

// RequestCopy implements ledger.Store.
func (x *Index) RequestCopy(ctx context.Context, w ledger.Wanted) (ledger.Copy, error) {
	if err := index.CheckWanted(w); err != nil {
		return ledger.Copy{}, fmt.Errorf("request %w", err)
	}
	c, _, err := x.claimCopy(ctx, sqlRequestCopy, wantedArgs(w)...)
	if err != nil {
		return ledger.Copy{}, copyFault(ctx, "request", w.Key, err)
	}
	return c, nil
}

var sqlClaimCopy = claimOf(claimable,
	`state, fence, attempts, lease_until`, `'uploading', 1, 1, now() + $12::interval`, `
        state = case when c.state in ('processing', 'unverified') then c.state else 'uploading' end,
        fence = c.fence + 1,
        operation_id = `+operationOf+`,
        attempts = case
            when c.state in ('processing', 'unverified') then c.attempts
            when c.state in ('pending', 'uploading') then c.attempts + 1
            else 1
        end,
        next_attempt_at = null, lease_until = excluded.lease_until`)

// ClaimCopy implements ledger.Store.
func (x *Index) ClaimCopy(ctx context.Context, w ledger.Wanted, lease time.Duration) (c ledger.Copy, won bool, err error) {
	if err := index.CheckWanted(w); err != nil {
		return ledger.Copy{}, false, fmt.Errorf("claim %w", err)
	}
	c, won, err = x.claimCopy(ctx, sqlClaimCopy, wantedArgs(w, lease)...)
	if err != nil {
		return ledger.Copy{}, false, copyFault(ctx, "claim", w.Key, err)
	}
	return c, won, nil
}

const sqlEnterCopy = `
with seen as materialized (
    select ` + copyFields + ` from copies c where ` + thisCopy + `
), entered as (
    insert into copies as c (digest, provider, account, purpose, extension, name, media_type, size, operation_id, state, fence, file_id)
    select $1::bytea, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text, $8::bigint, $9::text, 'unverified', 0, $10::text
    where not exists (select from seen)
    on conflict (digest, provider, account, purpose, extension) do nothing
    returning ` + changedCopy + `
)
select ` + copyColumns + `, true as changed from entered
union all
select ` + copyColumns + `, false from seen`

// EnterCopy implements ledger.Store.
func (x *Index) EnterCopy(ctx context.Context, w ledger.Wanted, fileID string) (ledger.Copy, error) {
	if err := index.CheckWanted(w); err != nil {
		return ledger.Copy{}, fmt.Errorf("enter %w", err)
	}
	if err := index.CheckRemoteFile(providers.RemoteFile{ID: fileID, Status: providers.StatusReady}); err != nil {
		return ledger.Copy{}, fmt.Errorf("enter copy %s: %w", w.Key, err)
	}
	c, _, err := x.claimCopy(ctx, sqlEnterCopy, keyArgs(w.Key, w.Name, w.MediaType, w.Size, w.OperationID, fileID)...)
	if err != nil {
		return ledger.Copy{}, copyFault(ctx, "enter", w.Key, err)
	}
	return c, nil
}

var sqlExtendLease = changeOf(
	`lease_until = now() + $7::interval`,
	`c.fence = $6 and c.state in ('uploading', 'processing', 'unverified', 'deleting') and c.lease_until is not null`)

// ExtendLease implements ledger.Store.
func (x *Index) ExtendLease(ctx context.Context, k ledger.Key, fence int64, lease time.Duration) (held bool, err error) {
	if index.CheckKey(k) != nil {
		return false, noCopy("extend the lease of", k)
	}
	_, held, err = x.changeCopy(ctx, sqlExtendLease, keyArgs(k, fence, lease)...)
	if err != nil {
		return false, copyFault(ctx, "extend the lease of", k, err)
	}
	return held, nil
}

// $6 is the fence.
const atWork = `c.fence = $6 and c.lease_until is not null and c.state in ('uploading', 'processing', 'unverified')`

var sqlCompleteCopy = changeOf(`
        state = $7, file_id = $8, remote_name = $9, expires_at = $10::timestamptz,
        error = null, uncertain = false, next_attempt_at = null,
        attempts = case when $7 = 'ready' then 0 else c.attempts end,
        ready_at = case when $7 = 'ready' then now() else c.ready_at end,
        lease_until = case when $7 = 'ready' then null else c.lease_until end`, atWork)

// CompleteCopy implements ledger.Store. It may be repeated: who finds that the
// same file is recorded under its own fence has recorded it.
func (x *Index) CompleteCopy(ctx context.Context, k ledger.Key, fence int64, f providers.RemoteFile) (c ledger.Copy, held bool, err error) {
	if err := index.CheckRemoteFile(f); err != nil {
		return ledger.Copy{}, false, fmt.Errorf("complete copy %s: %w", k, err)
	}
	if index.CheckKey(k) != nil {
		return ledger.Copy{}, false, noCopy("complete", k)
	}
	c, held, err = x.changeCopy(ctx, sqlCompleteCopy, keyArgs(k, fence, string(stateOf(f)), f.ID, f.Name, nullIfZero(f.ExpiresAt))...)
	if err != nil {
		return ledger.Copy{}, false, copyFault(ctx, "complete", k, err)
	}
	repeated := c.Fence == fence && c.State == ledger.StateReady && c.FileID == f.ID
	return c, held || repeated, nil
}

// stateOf returns the state of a copy that is completed with f.
func stateOf(f providers.RemoteFile) ledger.State {
	if f.Status == providers.StatusReady {
		return ledger.StateReady
	}
	return ledger.StateProcessing
}

// A renewal that failed leaves the file there was; all other failures leave none, and
// what was in process is no file to be ready with.
var sqlFailCopy = changeOf(`
        state = $7, error = $8::jsonb, uncertain = c.uncertain or $9::boolean,
        next_attempt_at = case when $10::boolean then now() + $11::interval end, lease_until = null,
        file_id = case when $7 = 'ready' then c.file_id else '' end,
        remote_name = case when $7 = 'ready' then c.remote_name else '' end,
        expires_at = case when $7 = 'ready' then c.expires_at end`,
	atWork+` and ($7 <> 'ready' or (c.state = 'uploading' and c.file_id <> ''))`)

// FailCopy implements ledger.Store. It may be repeated: who finds the row under
// its own fence in the state that it gives has put it there.
func (x *Index) FailCopy(ctx context.Context, k ledger.Key, fence int64, f ledger.Failure) (c ledger.Copy, held bool, err error) {
	if err := index.CheckFailure(f); err != nil {
		return ledger.Copy{}, false, fmt.Errorf("fail copy %s: %w", k, err)
	}
	if index.CheckKey(k) != nil {
		return ledger.Copy{}, false, noCopy("fail", k)
	}
	failure, err := index.EncodeError(f.Error)
	if err != nil {
		return ledger.Copy{}, false, err
	}
	c, held, err = x.changeCopy(ctx, sqlFailCopy, keyArgs(k, fence, string(f.State), failure, f.Uncertain, f.Again, f.After)...)
	if err != nil {
		return ledger.Copy{}, false, copyFault(ctx, "fail", k, err)
	}
	if !held && c.Fence == fence && !c.LeaseUntil.IsZero() && (c.State == ledger.StateUploading || c.State == ledger.StateProcessing || c.State == ledger.StateUnverified) {
		return ledger.Copy{}, false, fmt.Errorf("fail copy %s: there is no earlier file with which it could be ready", k)
	}
	return c, held || (c.Fence == fence && c.State == f.State), nil
}

var sqlLoseCopy = changeOf(`
        state = 'lost', file_id = '', remote_name = '', expires_at = null, lease_until = null, lost_at = now(),
        losses = case when c.lost_at > now() - $8::interval then c.losses + 1 else 1 end,
        next_attempt_at = case
            when c.lost_at > now() - $8::interval and c.losses + 1 > $7::bigint or 1 > $7 then now() + $8::interval
            else now()
        end`,
	`c.state in ('ready', 'processing') and c.file_id = $6`)

// LoseCopy implements ledger.Store.
func (x *Index) LoseCopy(ctx context.Context, k ledger.Key, fileID string, allowed int, window time.Duration) (ledger.Copy, error) {
	if index.CheckKey(k) != nil {
		return ledger.Copy{}, noCopy("lose", k)
	}
	if index.CheckText("id of the remote file", fileID) != nil {
		return x.Copy(ctx, k) // no copy has it
	}
	c, _, err := x.changeCopy(ctx, sqlLoseCopy, keyArgs(k, fileID, int64(allowed), window)...)
	if err != nil {
		return ledger.Copy{}, copyFault(ctx, "lose", k, err)
	}
	if c.State == ledger.StateDeleted {
		return ledger.Copy{}, noCopy("lose", k)
	}
	return c, nil
}
