package pgindex

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/cas/scrubber"
)

var _ scrubber.Index = (*Index)(nil)

const (
	// lastVerified is the expression of the indexes blobs_unverified and blobs_suspect.
	lastVerified = `coalesce(verified_at, created_at)`

	inWindow = `case when $2::bytea <= $3::bytea then digest between $2 and $3 else digest >= $2 or digest <= $3 end`
)

// scrubStatements are the statements for one state. The state is a part of their text,
// so that a plan can use the state's own index.
type scrubStatements struct{ claim, busy string }

// Rows that are locked, by an upload or by another scrub that claims them, are skipped.
// They count as busy.
var scrubDue = func() map[cas.State]scrubStatements {
	all := map[cas.State]scrubStatements{}
	for _, state := range []cas.State{cas.StateLive, cas.StateSuspect} {
		due := `state = '` + string(state) + `' and ` + lastVerified + ` <= $1 and ` + inWindow
		all[state] = scrubStatements{
			claim: `
with due as materialized (
    select digest
    from blobs
    where ` + due + ` and (scrub_claim is null or scrub_until <= now())
    order by ` + lastVerified + `, digest
    limit $6
    for update skip locked
)
update blobs b set scrub_claim = $4, scrub_until = now() + $5::interval
from due
where b.digest = due.digest and b.state = '` + string(state) + `'
returning ` + blobTable.NamesOf("b"),
			busy: `select exists (select from blobs where ` + due + ` and (scrub_claim is distinct from $4 or scrub_until <= now()))`,
		}
	}
	return all
}()

// ClaimDue implements scrubber.Index.
func (x *Index) ClaimDue(ctx context.Context, c scrubber.Claim, due scrubber.Due) (blobs []cas.Blob, busy bool, err error) {
	statements, ok := scrubDue[due.State]
	if !ok {
		return nil, false, fmt.Errorf("claim blobs to check: no scrub checks %s ones", due.State)
	}
	blobs, err = list(ctx, x, blobTable, statements.claim, due.Before.UTC(), due.Window.From[:], due.Window.To[:], c.ID, c.Lease, int64(due.Limit))
	if err == nil && len(blobs) == 0 {
		call, cancel := x.bounded(ctx)
		defer cancel()
		err = x.pool.QueryRow(call, statements.busy, due.Before.UTC(), due.Window.From[:], due.Window.To[:], c.ID).Scan(&busy)
	}
	if err != nil {
		return nil, false, fault(ctx, "claim blobs to check", err)
	}
	return blobs, busy, nil
}

// The rows are locked in one order, so that two calls don't deadlock.
const lockDigests = `
with wanted as materialized (
    select digest from blobs where digest = any($1::bytea[]) order by digest for update
)`

var sqlClaimBlobs = lockDigests + `
update blobs b set scrub_claim = $2, scrub_until = now() + $3::interval
from wanted
where b.digest = wanted.digest and b.state in ('live', 'suspect')
returning ` + blobTable.NamesOf("b")

// ClaimBlobs implements scrubber.Index.
func (x *Index) ClaimBlobs(ctx context.Context, c scrubber.Claim, ds ...cas.Digest) ([]cas.Blob, error) {
	blobs, err := list(ctx, x, blobTable, sqlClaimBlobs, rawDigests(ds), c.ID, c.Lease)
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("claim %d blobs to check", len(ds)), err)
	}
	return blobs, nil
}

const sqlExtendClaim = lockDigests + `
update blobs b set scrub_until = now() + $3::interval
from wanted
where b.digest = wanted.digest and b.scrub_claim = $2`

// ExtendClaim implements scrubber.Index.
func (x *Index) ExtendClaim(ctx context.Context, c scrubber.Claim, ds ...cas.Digest) error {
	call, cancel := x.bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlExtendClaim, rawDigests(ds), c.ID, c.Lease); err != nil {
		return fault(ctx, fmt.Sprintf("extend the claim of %d blobs", len(ds)), err)
	}
	return nil
}

func rawDigests(ds []cas.Digest) [][]byte {
	raw := make([][]byte, len(ds))
	for i := range ds {
		raw[i] = ds[i][:]
	}
	return raw
}

// Only a blob that was live is announced: no cache keeps a suspect one.
const sqlFinishChecks = `
with checks as materialized (
    select * from unnest($2::bytea[], $3::integer[], $4::text[]) as c(digest, generation, verdict)
), held as materialized (
    select b.digest, b.state as before, c.verdict
    from blobs b
    join checks c on b.digest = c.digest and b.generation = c.generation
    where b.scrub_claim = $1 and b.state in ('live', 'suspect')
    order by b.digest
    for update of b
), done as (
    update blobs b set
        state = case h.verdict when 'healed' then 'live' when 'damaged' then 'suspect' else b.state end,
        verified_at = case h.verdict when 'none' then b.verified_at else now() end,
        scrub_claim = null, scrub_until = null
    from held h
    where b.digest = h.digest
    returning b.digest, b.generation, h.before = 'live' and b.state = 'suspect' as fell
)
select digest, generation, case when fell then pg_notify($5, encode(digest, 'hex'))::text end from done`

// FinishChecks implements scrubber.Index.
func (x *Index) FinishChecks(ctx context.Context, claim string, checks ...scrubber.Check) ([]cas.ObjectRef, error) {
	digests, generations, verdicts := make([][]byte, len(checks)), make([]int32, len(checks)), make([]string, len(checks))
	for i, c := range checks {
		digests[i], generations[i], verdicts[i] = c.Digest[:], c.Generation, string(c.Verdict)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	// An error of Query comes out of CollectRows.
	rows, _ := x.pool.Query(call, sqlFinishChecks, claim, digests, generations, verdicts, channel)
	refs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ref cas.ObjectRef, err error) {
		err = row.Scan(&ref.Digest, &ref.Generation, nil)
		return ref, err
	})
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("record %d checks", len(checks)), err)
	}
	return refs, nil
}

var (
	sqlScrubState = `
select count(*), count(*) filter (where state = 'suspect'),
    count(*) filter (where scrub_claim is not null and scrub_until > now()),
    min(` + lastVerified + `) filter (where state = 'live')
from blobs
where state in ('live', 'suspect')`

	sqlSuspects = `select ` + blobTable.Select() + ` from blobs where state = 'suspect' order by ` + lastVerified + `, digest limit $1`
)

// ScrubState implements scrubber.Index.
func (x *Index) ScrubState(ctx context.Context) (s scrubber.State, err error) {
	call, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	var oldest *time.Time
	err = x.pool.QueryRow(call, sqlScrubState).Scan(&s.Blobs, &s.Suspect, &s.Claimed, &oldest)
	if err == nil && oldest != nil {
		s.Oldest = oldest.UTC()
	}
	if err == nil {
		s.Damaged, err = list(ctx, x, blobTable, sqlSuspects, scrubber.MaxListed)
	}
	if err != nil {
		return scrubber.State{}, fault(ctx, "count the checked blobs", err)
	}
	return s, nil
}

// SaveScrub implements scrubber.Index.
func (x *Index) SaveScrub(ctx context.Context, run scrubber.Run, lease time.Duration) (held bool, err error) {
	return x.saveLeased(ctx, scrubRuns, run.ID, run, lease)
}

// LastScrub implements scrubber.Index.
func (x *Index) LastScrub(ctx context.Context) (run scrubber.Run, running bool, err error) {
	running, err = x.lastLeased(ctx, scrubRuns, &run)
	if errors.Is(err, pgx.ErrNoRows) {
		return scrubber.Run{}, false, nil
	}
	return run, running, err
}
