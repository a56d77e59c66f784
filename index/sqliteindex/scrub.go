package sqliteindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"casgate/cas"
	"casgate/cas/scrubber"
)

var _ scrubber.Index = (*Index)(nil)

const (
	// lastVerified is the expression of the indexes blobs_unverified and blobs_suspect.
	lastVerified = `coalesce(verified_at, created_at)`

	inWindow = `case when ?2 <= ?3 then digest between ?2 and ?3 else digest >= ?2 or digest <= ?3 end`
)

// scrubStatements are the statements for one state. The state is a part of their text,
// so that a plan can use the state's own index.
type scrubStatements struct{ claim, busy string }

var scrubDue = func() map[cas.State]scrubStatements {
	all := map[cas.State]scrubStatements{}
	for _, state := range []cas.State{cas.StateLive, cas.StateSuspect} {
		due := `state = '` + string(state) + `' and ` + lastVerified + ` <= ?1 and ` + inWindow
		all[state] = scrubStatements{
			claim: `
update blobs set scrub_claim = ?4, scrub_until = ?5
where digest in (
    select digest
    from blobs
    where ` + due + ` and (scrub_claim is null or scrub_until <= ?6)
    order by ` + lastVerified + `, digest
    limit ?7
)
returning ` + blobTable.Select(),
			busy: `select exists (select 1 from blobs where ` + due + ` and (scrub_claim is not ?4 or scrub_until <= ?5))`,
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
	before := due.Before.UnixMicro()
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at := now()
		blobs, err = rowsOf(ctx, tx, scanBlob, statements.claim,
			before, due.Window.From[:], due.Window.To[:], c.ID, at+c.Lease.Microseconds(), at, due.Limit)
		if err != nil || len(blobs) > 0 {
			return err
		}
		return tx.QueryRowContext(ctx, statements.busy, before, due.Window.From[:], due.Window.To[:], c.ID, at).Scan(&busy)
	})
	if err != nil {
		return nil, false, fault(ctx, "claim blobs to check", err)
	}
	return blobs, busy, nil
}

func scanBlob(row scanner) (cas.Blob, error) { return blobTable.Scan(row) }

var sqlClaimBlob = `
update blobs set scrub_claim = ?, scrub_until = ?
where digest = ? and state in ('live', 'suspect')
returning ` + blobTable.Select()

// ClaimBlobs implements scrubber.Index.
func (x *Index) ClaimBlobs(ctx context.Context, c scrubber.Claim, ds ...cas.Digest) (blobs []cas.Blob, err error) {
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		until := now() + c.Lease.Microseconds()
		for _, d := range ds {
			b, err := blobTable.Scan(tx.QueryRowContext(ctx, sqlClaimBlob, c.ID, until, d[:]))
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			blobs = append(blobs, b)
		}
		return nil
	})
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("claim %d blobs to check", len(ds)), err)
	}
	return blobs, nil
}

const sqlExtendClaim = `update blobs set scrub_until = ? where digest = ? and scrub_claim = ?`

// ExtendClaim implements scrubber.Index.
func (x *Index) ExtendClaim(ctx context.Context, c scrubber.Claim, ds ...cas.Digest) error {
	err := x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		until := now() + c.Lease.Microseconds()
		for _, d := range ds {
			if _, err := tx.ExecContext(ctx, sqlExtendClaim, until, d[:], c.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fault(ctx, fmt.Sprintf("extend the claim of %d blobs", len(ds)), err)
	}
	return nil
}

const sqlFinishCheck = `
update blobs set
    state = case ?1 when 'healed' then 'live' when 'damaged' then 'suspect' else state end,
    verified_at = case ?1 when 'none' then verified_at else ?2 end,
    scrub_claim = null, scrub_until = null
where digest = ?3 and generation = ?4 and scrub_claim = ?5 and state in ('live', 'suspect')`

// FinishChecks implements scrubber.Index.
func (x *Index) FinishChecks(ctx context.Context, claim string, checks ...scrubber.Check) (refs []cas.ObjectRef, err error) {
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at := now()
		for _, c := range checks {
			result, err := tx.ExecContext(ctx, sqlFinishCheck, string(c.Verdict), at, c.Digest[:], c.Generation, claim)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			if n > 0 {
				refs = append(refs, c.ObjectRef)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("record %d checks", len(checks)), err)
	}
	return refs, nil
}

var (
	sqlScrubState = `
select count(*), count(*) filter (where state = 'suspect'),
    count(*) filter (where scrub_claim is not null and scrub_until > ?),
    min(` + lastVerified + `) filter (where state = 'live')
from blobs
where state in ('live', 'suspect')`

	sqlSuspects = `select ` + blobTable.Select() + ` from blobs where state = 'suspect' order by ` + lastVerified + `, digest limit ?`
)

// ScrubState implements scrubber.Index.
func (x *Index) ScrubState(ctx context.Context) (s scrubber.State, err error) {
	call, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	var oldest sql.NullInt64
	err = x.reader.QueryRowContext(call, sqlScrubState, now()).Scan(&s.Blobs, &s.Suspect, &s.Claimed, &oldest)
	if err == nil && oldest.Valid {
		s.Oldest = time.UnixMicro(oldest.Int64).UTC()
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
	if errors.Is(err, sql.ErrNoRows) {
		return scrubber.Run{}, false, nil
	}
	return run, running, err
}
