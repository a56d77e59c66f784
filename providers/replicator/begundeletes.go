package replicator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// begunDeletes is what became of the deletes of a pool that had begun.
type begunDeletes struct {
	// ended: one has ended, so the numbers have changed.
	ended bool
	// passedOver is the error of a delete that has failed again and again, or nil. It may
	// still make room, and nothing waits for it.
	passedOver error
}

// finishDeletes ends one of the deletes of a pool that have begun, by any caller: its
// place becomes free. Otherwise each attempt of an upload whose eviction fails would delete
// one more copy, and so would an upload during a caller's delete. The error is why none has
// ended yet.
func (r *Replicator) finishDeletes(ctx context.Context, j job, full pool) (begunDeletes, error) {
	var found begunDeletes
	begun, err := r.ledger.Deletes(ctx, full.account)
	if err != nil {
		return found, err
	}
	var scheduled error // of the first that is due
	for _, c := range begun {
		e := lastError(c)
		switch {
		case full.purpose != "" && c.Purpose != full.purpose:
		case isPassedOver(c):
			found.passedOver = evictionError(c, &e)
		case !j.wanted.Retry && c.LeaseUntil.IsZero() && untilDue(c) > 0:
			if scheduled == nil {
				scheduled = evictionError(c, &e)
			}
		default:
			err := r.finishBegun(ctx, j, c)
			found.ended = err == nil
			return found, err
		}
	}
	return found, scheduled
}

// maxUnclearDeletes is after how many attempts without a clear answer, about a minute and a
// half, another copy than an evicted one is chosen. While a provider can't be reached, few
// copies go.
const maxUnclearDeletes = 8

// isPassedOver reports whether a delete has failed so often that another copy is chosen. An
// eviction that the provider refuses is no delete any more; see endDelete.
func isPassedOver(c ledger.Copy) bool {
	if c.Evicting {
		return c.Attempts >= maxUnclearDeletes
	}
	return c.Attempts >= maxRefusedDeletes
}

// finishBegun repeats a delete that has begun. If another client works on it, finishBegun
// waits for the end of that.
func (r *Replicator) finishBegun(ctx context.Context, j job, c ledger.Copy) error {
	for {
		changed, release := r.changes.wait(c.Digest)
		row, won, err := r.ledger.Change(ctx, ledger.ResumeDelete(c, r.o.Lease))
		isUnderWay := err == nil && !won && row.State == ledger.StateDeleting && row.FileID == c.FileID
		if !isUnderWay {
			release()
		}
		switch {
		case errors.Is(err, ledger.ErrNotFound):
			return nil
		case err != nil:
			return err
		case won:
			return r.deleteForRoom(ctx, j, row)
		case !isUnderWay:
			return nil
		case !j.wanted.Retry && row.LeaseUntil.IsZero() && untilDue(row) > 0: // the other client's attempt has failed
			release()
			e := lastError(row)
			return evictionError(row, &e)
		}
		err = r.await(ctx, row, changed)
		release()
		if err != nil {
			return err
		}
		c = row
	}
}

// afterDue is how long after a delete is due the upload that waits for it is tried again. At
// the same moment the delete may not be due yet, by the precision of the index's clock, and
// an attempt of the upload is lost.
const afterDue = 50 * time.Millisecond

// evictionError returns the error of an upload for which a copy could not be deleted. The
// provider has not refused the upload itself, so it is tried again.
func evictionError(victim ledger.Copy, cause error) error {
	e, ok := errors.AsType[*providers.Error](cause)
	if !ok {
		return cause
	}
	failed := *e
	failed.Cause = cause
	switch {
	case e.Kind == providers.KindPermanent, e.Kind == providers.KindUnknown, e.Kind == providers.KindLost,
		e.Kind == providers.KindAuth && e.Status == http.StatusForbidden: // it may be about this file only
		failed.Kind = providers.KindTransient
	}
	failed.Message = fmt.Sprintf("the account is full, and the copy %s could not be deleted to make room: %s", victim.Key, e.Message)
	if victim.State == ledger.StateDeleting {
		failed.RetryAfter = max(untilDue(victim), 0) + afterDue
	}
	return &failed
}
