package replicator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// ReportLost handles a caller's report that a provider doesn't know a file id from
// Ensure. If the provider confirms it, the copy becomes lost and is uploaded again. A
// file id that is no longer the copy's changes nothing; an empty one means the copy's.
// It returns a usable copy. If there is no copy, or a caller has deleted it, it uploads
// nothing, and the error wraps ledger.ErrNotFound.
//
// A file that the provider may not know yet is looked for again until the settling time is
// over. If ctx ends before, the look goes on, and the error wraps ErrCopyInProgress; the
// copy then is as it was.
func (r *Replicator) ReportLost(ctx context.Context, q Request, fileID string) (c ledger.Copy, created bool, err error) {
	j, err := r.plan(ctx, q)
	if err != nil {
		return ledger.Copy{}, false, err
	}
	fileID = j.description.FileID(fileID)
	if q.Purpose == "" && q.Name == "" && fileID != "" {
		if q, j, err = r.planReported(ctx, q, j, fileID); err != nil {
			return ledger.Copy{}, false, err
		}
	}
	c, err = r.ledger.Copy(ctx, j.wanted.Key)
	if err == nil && isDeleted(c) {
		err = ledger.ErrNotFound
	}
	if errors.Is(err, ledger.ErrNotFound) {
		return ledger.Copy{}, false, noCopyError(q)
	}
	if err != nil {
		return ledger.Copy{}, false, err
	}
	if c.State == ledger.StateReady && (fileID == "" || fileID == c.FileID) {
		if err := r.loseIfGone(ctx, j, c); err != nil {
			return c, false, err
		}
	}
	return r.Ensure(ctx, q)
}

// planReported returns the request for the copy whose file the caller names, if that is not
// the default copy.
func (r *Replicator) planReported(ctx context.Context, q Request, j job, fileID string) (Request, job, error) {
	copies, err := r.copiesAt(ctx, q)
	if err != nil {
		return q, j, err
	}
	i := slices.IndexFunc(copies, func(c ledger.Copy) bool { return c.FileID == fileID })
	if i < 0 || copies[i].Key == j.wanted.Key {
		return q, j, nil
	}
	named := q
	named.Purpose, named.Name = copies[i].Purpose, copies[i].Name
	other, err := r.planOf(j.provider, j.blob, named)
	if err != nil || other.wanted.Key != copies[i].Key {
		return q, j, nil // the provider's purposes have changed since
	}
	return named, other, nil
}

// loseIfGone records that a copy's file is lost, if the provider confirms it. Concurrent
// callers share the look.
func (r *Replicator) loseIfGone(ctx context.Context, j job, c ledger.Copy) error {
	end, err := r.begin()
	if err != nil {
		return err
	}
	done := r.flights.DoChan("lost "+c.Key.Provider+" "+c.Key.Account+" "+c.FileID, func() (any, error) {
		gone, err := r.isGone(r.working, j, c)
		if err == nil && gone {
			err = r.lose(r.working, c)
		}
		return nil, err
	})
	looked := make(chan error, 1)
	go func() {
		defer end()
		looked <- (<-done).Err
	}()
	select {
	case err := <-looked:
		return err
	case <-ctx.Done():
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return context.Cause(ctx)
		}
		if !c.IsFresh(time.Now(), j.purpose.Settling()) {
			return fmt.Errorf("%w: %s has not answered yet whether it knows the file %s; the question goes on", providers.ErrCopyInProgress, c.Provider, c.FileID)
		}
		known := c.UploadedAt.Add(j.purpose.Settling()).UTC().Format(time.RFC3339)
		return fmt.Errorf("%w: %s doesn't know the file %s, which is new; it counts as lost if that stays so until %s", providers.ErrCopyInProgress, c.Provider, c.FileID, known)
	}
}
