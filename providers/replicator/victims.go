package replicator

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// victims returns the copies to evict for another one, and whether they are enough. Enough
// are conditions for the copies that go, the strictest first: the first one that can be met
// counts. A purpose that isn't empty restricts it to copies of that purpose. Without evictions
// only copies that have expired go. If only copies are left that were handed out a moment
// ago, victims waits.
//
// If freeing, the deletes must free places, whatever the ledger counts. A provider may have
// deleted the file of an expired copy itself, so such a copy goes only if the list has it.
func (r *Replicator) victims(ctx context.Context, j job, purpose string, freeing bool, enough ...func([]ledger.Copy) bool) (victims []ledger.Copy, ok bool, err error) {
	for {
		if err := r.uses.flush(ctx, r.ledger); err != nil { // for the order
			return nil, false, err
		}
		var soonest time.Time
		recent := r.censuses.recent(j.description.Account)
		victims, ok, err := ledger.Victims(ctx, r.ledger, ledger.Eviction{
			Room: j.wanted.Key, Purpose: purpose, Expired: r.o.NoEviction, Enough: enough[0],
			Spares: func(c ledger.Copy) bool {
				if freeing && c.HasExpired(time.Now()) && !recent.listed[c.FileID] {
					return true
				}
				spared, until := r.spares(j, c)
				if !until.IsZero() && (soonest.IsZero() || until.Before(soonest)) {
					soonest = until
				}
				return spared
			},
		})
		if err != nil || ok {
			return victims, ok, err
		}
		for _, met := range enough[1:] {
			for n := range len(victims) + 1 {
				if met(victims[:n]) {
					return victims[:n], true, nil
				}
			}
		}
		if soonest.IsZero() {
			return nil, false, nil
		}
		if err := pause(ctx, time.Until(soonest)+time.Millisecond); err != nil {
			return nil, false, err
		}
	}
}

// evict deletes a copy that victims returned, at the provider first. It reports false if
// the copy has been used or changed since: then it stays.
func (r *Replicator) evict(ctx context.Context, j job, victim ledger.Copy) (bool, error) {
	if spared, _ := r.spares(j, victim); spared {
		return false, nil
	}
	victim, won, err := r.ledger.Change(ctx, ledger.Evict(victim, r.o.Lease))
	if errors.Is(err, ledger.ErrNotFound) || err == nil && !won {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = r.deleteForRoom(ctx, j, victim)
	return err == nil, err
}

// deleteForRoom deletes a claimed copy, so that its place becomes free. The error is why it
// is not free yet.
func (r *Replicator) deleteForRoom(ctx context.Context, j job, claimed ledger.Copy) error {
	row, failure, err := r.endDelete(ctx, j.provider, claimed, "")
	switch {
	case err != nil:
		return err
	case row.FileID == "":
		r.log.Info().Str("operation_id", claimed.OperationID).Stringer("copy", row.Key).Stringer("for", j.wanted.Key).Msg("the file of a copy was deleted, which makes room")
		return nil
	case failure == nil: // another client has claimed the row meanwhile
		e := lastError(row)
		failure = &e
	}
	return evictionError(row, failure)
}

// isKept reports whether a provider still has a copy's file after a delete that failed:
// the delete was not sent, or the provider has refused it, and knows the file. The answers
// of proxies are no refusals, nor is one that makes no sense: the delete may come later.
func (r *Replicator) isKept(ctx context.Context, p providers.Provider, c ledger.Copy, cause error) bool {
	e, ok := errors.AsType[*providers.Error](cause)
	switch {
	case !ok:
		return false
	case notMade(e), e.Code == providers.CodeNotDeleted: // deleteFile has looked
		return true
	case e.Status == 0, e.Kind == providers.KindUnknown, e.Code == providers.CodeBadAnswer, slices.Contains(fromProxies, e.Status) && !e.NotBegun:
		return false
	}
	_, err := lookUp(ctx, p, c.Purpose, c.FileID)
	return err == nil
}

// fromProxies are the statuses that a proxy answers, too, after it has passed a request on.
// 499 is nginx's, for a client that left.
var fromProxies = []int{http.StatusRequestTimeout, 499, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

// stopEviction makes a copy ready again, and returns the row.
func (r *Replicator) stopEviction(ctx context.Context, c ledger.Copy, cause error) ledger.Copy {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeepingTimeout)
	defer cancel()
	row, stopped, err := r.ledger.Change(ctx, ledger.StopEviction(c.Key, c.Fence))
	switch {
	case err == nil && stopped:
		r.log.Warn().Err(cause).Stringer("copy", c.Key).Msg("the provider keeps the file of a copy that was to make room; the copy is ready again")
		r.changes.signal(c.Digest)
		return row
	case err == nil && row.State == ledger.StateDeleting && row.Fence == c.Fence: // a caller has asked for the delete
		return r.postpone(ctx, row, cause)
	case err == nil:
		return row
	}
	return r.postpone(ctx, c, cause)
}

// spares reports whether a copy must not be evicted for the upload of another one. It is
// spared if
//
//   - it is younger than its purpose's spare time,
//   - it was handed to a caller after the upload had been asked for,
//   - a recent list should contain its file, and doesn't: then its eviction frees nothing,
//   - the provider has refused its delete again and again,
//   - it was handed to a caller a moment ago. Then until says when it may be evicted.
//
// Age and use don't matter once it has expired: nobody can use it.
func (r *Replicator) spares(j job, c ledger.Copy) (spared bool, until time.Time) {
	room := r.censuses.room(j.description.Account)
	if room.keeps(c.Key) || r.censuses.recent(j.description.Account).lacks(c, j.description) {
		return true, time.Time{}
	}
	if c.HasExpired(time.Now()) {
		return false, time.Time{}
	}
	for _, p := range j.description.Purposes {
		if p.Name == c.Purpose && time.Since(c.ReadyAt) < p.Spare() {
			return true, time.Time{}
		}
	}
	used := c.LastUse()
	if here := r.uses.of(c.Key); here.After(used) {
		used = here // the ledger doesn't have it yet
	}
	if used.After(j.place.asked) {
		return true, time.Time{}
	}
	if until = used.Add(r.o.HandedOut); time.Now().Before(until) {
		return true, until
	}
	return false, time.Time{}
}

// censusAfterDeletes is census, after the list no longer has the files that were deleted
// recently. A provider may take a while to delete a file, and its place is free only then.
// It reports whether it waited for that.
func (r *Replicator) censusAfterDeletes(ctx context.Context, j job, after time.Time) (c Census, waited bool, err error) {
	room := r.censuses.room(j.description.Account)
	for {
		if c, err = r.census(ctx, j.provider, after); err != nil {
			return c, waited, err
		}
		since, until := room.stillListed(c)
		if until.IsZero() {
			return c, waited, nil
		}
		waited = true
		left := max(time.Until(until), 0) + time.Millisecond
		if err := pause(ctx, min(lookDelay(time.Now(), since), left)); err != nil {
			return c, waited, err
		}
		after = time.Now()
	}
}
