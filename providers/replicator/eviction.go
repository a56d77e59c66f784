package replicator

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"casgate/providers"
	"casgate/providers/ledger"
)

// makeRoom evicts copies until the account has room for the claimed copy, which the
// ledger already counts.
func (r *Replicator) makeRoom(ctx context.Context, j job) error {
	if j.description.MaxFiles == 0 && j.description.MaxBytes == 0 && j.purpose.MaxFiles == 0 && j.purpose.MaxBytes == 0 {
		return nil
	}
	for {
		usage, err := r.ledger.CopyUsage(ctx, j.description.Account)
		if err != nil {
			return err
		}
		var all, same ledger.Usage
		for _, u := range usage {
			all.Files += u.Files
			all.Bytes += u.Bytes
			if u.Purpose == j.purpose.Name {
				same = u
			}
		}
		var purpose string
		switch {
		case over(same.Files, j.purpose.MaxFiles), over(same.Bytes, j.purpose.MaxBytes):
			purpose = j.purpose.Name
		case over(all.Files, j.description.MaxFiles), over(all.Bytes, j.description.MaxBytes):
		default:
			return nil
		}
		full := &providers.Error{
			Provider: j.description.Provider, Op: providers.OpCheck, Kind: providers.KindQuota, TooMany: true, Code: "account_full",
			Message: fmt.Sprintf("the account is full: %d files with %s, this one included", all.Files, humanize.IBytes(uint64(all.Bytes))),
		}
		if r.o.NoEviction {
			full.Hint = "delete copies there (cas copies rm), or let the gateway remove those used least recently (CAS_COPY_EVICTION=lru)"
			return full
		}
		evicted, err := r.evict(ctx, j, purpose)
		if err != nil {
			return err
		}
		if !evicted {
			full.Hint = "all other copies are in use by uploads or deletes; try again shortly"
			return full
		}
	}
}

func over(n, limit int64) bool { return limit > 0 && n > limit }

// evict deletes the least recently used copy of the account, at the provider first. A
// purpose that isn't empty restricts it to copies of that purpose. It reports false if
// there is no copy to delete.
func (r *Replicator) evict(ctx context.Context, j job, purpose string) (bool, error) {
	if err := r.uses.flush(ctx, r.ledger); err != nil {
		return false, err
	}
	began := time.Now()
	victim, won, err := ledger.EvictLeastUsed(ctx, r.ledger, j.wanted.Key, purpose, r.o.Lease)
	if err != nil || !won {
		return false, err
	}
	id := newOperationID()
	victim, err = r.removeRemote(ctx, j.provider, victim)
	if err != nil {
		r.postpone(ctx, victim, err)
	} else if victim, err = r.finishDelete(ctx, victim, 0); err == nil {
		r.log.Info().Str("operation_id", id).Stringer("copy", victim.Key).Stringer("for", j.wanted.Key).Msg("removed the copy used least recently, to make room")
	}
	r.report(Event{Kind: EventEvicted, OperationID: id, Copy: victim, Start: began, Err: err})
	return err == nil, err
}
