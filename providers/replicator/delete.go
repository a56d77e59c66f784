package replicator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// endDelete deletes a claimed copy at its provider, and records and reports what came of
// it. All deletes end here: those of callers, of the queue, of uploads that need room, and
// of reconciliations. The row that it returns says how the delete has ended:
//
//   - StateDeleted or StateEvicted: the provider has deleted the file.
//   - StateReady: the provider keeps the file of an eviction.
//   - StateDeleting: the queue, or the next upload that needs room, tries again.
//
// The failure is the provider's, and err the index's. If a caller asks for the delete of a
// copy while it is evicted, endDelete goes on with that. Taken is the operation whose caller
// takes the result, which is not reported; it is empty if there is none.
func (r *Replicator) endDelete(ctx context.Context, p providers.Provider, c ledger.Copy, taken string) (row ledger.Copy, failure, err error) {
	began, claimed := time.Now(), c
	var settling time.Duration
	if p != nil {
		settling = p.Describe().SettlingOf(c.Purpose)
	}
	room := r.censuses.room(c.Account)
	row, failure = r.removeRemote(ctx, p, c)
	row.Evicting = claimed.Evicting // a caller may have asked for the delete meanwhile
	if claimed.FileID != "" && (failure == nil || row.FileID == "") {
		room.noteDeleted(claimed.Key, claimed.FileID, time.Now().Add(settling))
	}
	switch {
	case failure == nil:
		if row, err = r.finishDelete(ctx, row, settling, reporting{began, taken}); err != nil {
			return row, nil, err
		}
		if isAskedForMeanwhile(claimed, row) {
			return r.endDelete(ctx, p, row, taken)
		}
	case claimed.Evicting && ctx.Err() == nil && r.isKept(ctx, p, row, failure):
		room.noteKept(claimed.Key, failure)
		row = r.stopEviction(ctx, row, failure)
	default:
		row = r.postpone(ctx, row, failure)
	}
	if claimed.Evicting && (row.State == ledger.StateEvicted || failure != nil && !isLook(failure) && (row.State == ledger.StateReady || row.Evicting)) {
		r.report(Event{Kind: EventEvicted, OperationID: newOperationID(), Copy: row, Start: began, Err: failure})
	}
	return row, failure, nil
}

// isAskedForMeanwhile reports whether a caller has asked for the delete of a copy while it
// was evicted.
func isAskedForMeanwhile(evicted, now ledger.Copy) bool {
	return evicted.Evicting && now.State == ledger.StateDeleting && !now.Evicting && now.Fence == evicted.Fence
}

// deletion is the work of deleting a claimed copy at its provider.
type deletion struct {
	r        *Replicator
	p        providers.Provider
	row      ledger.Copy
	now      func() time.Time // the database's
	settling time.Duration
	gone     map[string]bool // ids of files that are deleted
}

// removeRemote deletes a copy's remote file, and, unless it is an eviction, those of all
// its attempts. It returns the row as it then is. Without an error nothing is left, and
// nothing can turn up. The provider may be nil if the row has no file and no strays.
func (r *Replicator) removeRemote(ctx context.Context, p providers.Provider, c ledger.Copy) (ledger.Copy, error) {
	if p == nil {
		return c, nil
	}
	d := &deletion{r: r, p: p, row: c, now: r.databaseClock(c), settling: p.Describe().SettlingOf(c.Purpose), gone: make(map[string]bool)}
	err := d.deleteKnown(ctx)
	for err == nil && !c.Evicting {
		var found []providers.RemoteFile
		if found, err = d.look(ctx); len(found) == 0 {
			break
		}
		row, done := r.noteLook(d.row, c.Fence, giveUp(p.Describe(), found))
		if !done {
			return row, errLeaseLost
		}
		d.row = row
		err = d.deleteKnown(ctx)
	}
	return d.row, err
}

// deleteKnown deletes the row's file, and, unless it is an eviction, the files that were
// given up.
func (d *deletion) deleteKnown(ctx context.Context) error {
	var failures []error
	remove := func(id string, settled bool) {
		gone, err := d.r.deleteFile(ctx, d.p, d.row, id, settled)
		if gone {
			d.gone[id] = true
		}
		failures = append(failures, err)
	}
	if id := d.row.FileID; id != "" && !d.gone[id] {
		now := d.now()
		remove(id, !d.row.IsFresh(now, d.settling) || d.row.HasExpired(now)) // an expired file doesn't turn up any more
	}
	if !d.row.Evicting {
		for _, s := range d.row.GivenUp() {
			remove(s.FileID, s.HasSettled(d.now(), d.settling))
		}
	}
	if len(d.row.Strays) > 0 && len(d.gone) > 0 {
		d.row, _ = d.r.noteLook(d.row, d.row.Fence, ledger.Look{Gone: slices.Collect(maps.Keys(d.gone))})
	}
	return errors.Join(failures...)
}

// look looks for the files of attempts whose outcome is not known. If it finds none, the
// error says whether one may still turn up.
func (d *deletion) look(ctx context.Context) ([]providers.RemoteFile, error) {
	c, unknown := d.row, d.row.MayTurnUp()
	if len(unknown) == 0 {
		return nil, nil
	}
	if isUnlisted(d.p.Describe(), c.Purpose) {
		d.r.warnUnlisted(c)
		d.row, _ = d.r.noteLook(c, c.Fence, forgetAll(unknown))
		return nil, nil
	}
	began := d.now()
	files, err := d.r.leftovers(ctx, d.p, c)
	if err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(strangers(c, files), func(f providers.RemoteFile) bool { return d.gone[f.ID] })
	last, waits := unsettled(unknown, began, d.settling)
	if len(found) > 0 || !waits {
		return found, nil
	}
	return nil, &providers.Error{
		Provider: c.Provider, Op: providers.OpDelete, Kind: providers.KindTransient, Code: providers.CodeUnconfirmed,
		Message:    fmt.Sprintf("an upload whose outcome is not known may store a file until %s", last.At.Add(d.settling).UTC().Format(time.RFC3339)),
		RetryAfter: lookDelay(began, last.At),
	}
}

// reporting says how the end of a delete is reported.
type reporting struct {
	began time.Time
	taken string // the operation whose caller takes the result; empty: none
}

// finishDelete records and reports that a copy is deleted, or evicted, and returns the row.
// If another gateway has claimed the row meanwhile, that gateway finishes the delete. If a
// caller has asked for the delete of an evicted copy meanwhile, the row is still
// StateDeleting, and no eviction: the delete also looks for the files of earlier attempts.
func (r *Replicator) finishDelete(ctx context.Context, c ledger.Copy, settling time.Duration, to reporting) (ledger.Copy, error) {
	state, counted := ledger.StateDeleted, outcomeDeleted
	if c.Evicting {
		state, counted = ledger.StateEvicted, outcomeEvicted
	}
	if state == ledger.StateDeleted {
		defer r.lastOf.lock(c.Digest)()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeepingTimeout) // after the wait for the lock
	defer cancel()
	row, done, err := r.ledger.Change(ctx, ledger.FinishDelete(c.Key, c.Fence, state, settling))
	switch {
	case err != nil:
		return c, err
	case done && row.State == state:
		r.metrics.count(c.Provider, counted)
		if state == ledger.StateDeleted {
			r.reportDeleted(ctx, row, to)
		}
	case done: // a caller has asked for the delete of the evicted copy
	case row.State == ledger.StateDeleting && row.Fence == c.Fence: // a stray was added meanwhile
		return r.postpone(ctx, row, &providers.Error{
			Provider: c.Provider, Op: providers.OpDelete, Kind: providers.KindTransient, Code: providers.CodeUnconfirmed,
			Message: "a file of an earlier attempt has turned up meanwhile", RetryAfter: shortestLook,
		}), nil
	}
	return row, nil
}

// postpone records why a delete failed and when to try again.
func (r *Replicator) postpone(ctx context.Context, c ledger.Copy, cause error) ledger.Copy {
	e := asError(cause, c.Provider, providers.OpDelete)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeepingTimeout)
	defer cancel()
	attempted := !notMade(e) && !isLook(e)
	after := cmp.Or(e.RetryAfter, backoffDelay(c.Attempts+1))
	if attempted {
		after = max(after, backoffDelay(c.Attempts+1))
	}
	row, held, err := r.ledger.Change(ctx, ledger.FailDelete(c.Key, c.Fence, ledger.Failure{
		State: ledger.StateDeleting, Error: e, Attempted: attempted, Again: true, After: after,
	}))
	if err == nil && !held {
		return row // another gateway has claimed it
	}
	event := r.log.Warn()
	if isLook(e) {
		event = r.log.Debug() // it is looked at again and again
	}
	event.Err(cause).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Msg("the provider has not confirmed a delete; trying again later")
	time.AfterFunc(after+10*time.Millisecond, r.wake)
	if err != nil {
		c.Error = e
		return c // its lease runs out, and the queue continues
	}
	return row
}

// isLook reports whether a delete only waits until a settling time is over.
func isLook(err error) bool {
	e, ok := errors.AsType[*providers.Error](err)
	return ok && e.Op == providers.OpDelete && e.Code == providers.CodeUnconfirmed && e.RetryAfter > 0
}

// isNotDeleted reports whether the provider has answered a delete, and says that it
// deleted nothing.
func isNotDeleted(err error) bool {
	e, ok := errors.AsType[*providers.Error](err)
	return ok && e.Code == providers.CodeNotDeleted
}
