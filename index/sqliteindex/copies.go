package sqliteindex

import (
	"context"
	"fmt"
	"time"

	"casgate/index"
	"casgate/providers"
	"casgate/providers/ledger"
)

// claimable reports whether a row may be claimed for w. A pending row never has a
// lease; a row that isn't there has no state.
func (r *copyRow) claimable(w ledger.Wanted, at time.Time) bool {
	switch r.State {
	case "", ledger.StateEvicted, ledger.StateDeleted:
		return true
	case ledger.StatePending, ledger.StateFailed, ledger.StateLost:
		return w.Retry || passed(r.NextAttemptAt, at)
	case ledger.StateUploading, ledger.StateProcessing, ledger.StateUnverified:
		return !r.leased(at)
	case ledger.StateReady:
		return passed(r.ExpiresAt, at.Add(w.Margin))
	}
	return false
}

// want gives the row what is the same whether it is requested or claimed.
func (r *copyRow) want(w ledger.Wanted, at time.Time) {
	r.Name, r.MediaType, r.Size = w.Name, w.MediaType, w.Size
	r.Uncertain = r.Uncertain || r.State == ledger.StateUploading
	if !r.IsAskedFor() {
		r.OperationID = w.OperationID
	}
	if r.State == "" || r.State == ledger.StateDeleted {
		r.CreatedAt = at
	}
}

// RequestCopy implements ledger.Store.
func (x *Index) RequestCopy(ctx context.Context, w ledger.Wanted) (ledger.Copy, error) {
	if err := index.CheckWanted(w); err != nil {
		return ledger.Copy{}, fmt.Errorf("request %w", err)
	}
	c, _, err := x.changeCopy(ctx, w.Key, true, func(r *copyRow, at time.Time) bool {
		if r.State == ledger.StateProcessing || !r.claimable(w, at) {
			return false // what is in process is as good as requested
		}
		r.want(w, at)
		if r.State != ledger.StateUnverified {
			r.State = ledger.StatePending
		}
		r.Attempts, r.Error = 0, nil
		r.NextAttemptAt, r.LeaseUntil = at, time.Time{}
		return true
	})
	if err != nil {
		return ledger.Copy{}, copyFault(ctx, "request", w.Key, err)
	}
	return c, nil
}

// ClaimCopy implements ledger.Store.
func (x *Index) ClaimCopy(ctx context.Context, w ledger.Wanted, lease time.Duration) (c ledger.Copy, won bool, err error) {
	if err := index.CheckWanted(w); err != nil {
		return ledger.Copy{}, false, fmt.Errorf("claim %w", err)
	}
	c, won, err = x.changeCopy(ctx, w.Key, true, func(r *copyRow, at time.Time) bool {
		if !r.claimable(w, at) {
			return false
		}
		r.want(w, at)
		switch r.State {
		case ledger.StateProcessing, ledger.StateUnverified:
		case ledger.StatePending, ledger.StateUploading:
			r.State = ledger.StateUploading
			r.Attempts++
		default:
			r.State, r.Attempts = ledger.StateUploading, 1
		}
		r.Fence++
		r.NextAttemptAt, r.LeaseUntil = time.Time{}, at.Add(lease)
		return true
	})
	if err != nil {
		return ledger.Copy{}, false, copyFault(ctx, "claim", w.Key, err)
	}
	return c, won, nil
}

// EnterCopy implements ledger.Store.
func (x *Index) EnterCopy(ctx context.Context, w ledger.Wanted, fileID string) (ledger.Copy, error) {
	if err := index.CheckWanted(w); err != nil {
		return ledger.Copy{}, fmt.Errorf("enter %w", err)
	}
	if err := index.CheckRemoteFile(providers.RemoteFile{ID: fileID, Status: providers.StatusReady}); err != nil {
		return ledger.Copy{}, fmt.Errorf("enter copy %s: %w", w.Key, err)
	}
	c, _, err := x.changeCopy(ctx, w.Key, true, func(r *copyRow, at time.Time) bool {
		if r.State != "" {
			return false
		}
		r.want(w, at)
		r.State, r.FileID, r.OperationID = ledger.StateUnverified, fileID, w.OperationID
		return true
	})
	if err != nil {
		return ledger.Copy{}, copyFault(ctx, "enter", w.Key, err)
	}
	return c, nil
}

// ExtendLease implements ledger.Store.
func (x *Index) ExtendLease(ctx context.Context, k ledger.Key, fence int64, lease time.Duration) (held bool, err error) {
	if index.CheckKey(k) != nil {
		return false, noCopy("extend the lease of", k)
	}
	_, held, err = x.changeCopy(ctx, k, false, func(r *copyRow, at time.Time) bool {
		if r.Fence != fence || r.LeaseUntil.IsZero() {
			return false
		}
		r.LeaseUntil = at.Add(lease)
		return true
	})
	if err != nil {
		return false, copyFault(ctx, "extend the lease of", k, err)
	}
	return held, nil
}

// atWork reports whether the row is being made a copy of under this fence.
func (r *copyRow) atWork(fence int64) bool {
	return r.Fence == fence && !r.LeaseUntil.IsZero() && r.State != ledger.StateDeleting
}

// CompleteCopy implements ledger.Store. It may be repeated: who finds that the
// same file is recorded under its own fence has recorded it.
func (x *Index) CompleteCopy(ctx context.Context, k ledger.Key, fence int64, f providers.RemoteFile) (c ledger.Copy, held bool, err error) {
	if err := index.CheckRemoteFile(f); err != nil {
		return ledger.Copy{}, false, fmt.Errorf("complete copy %s: %w", k, err)
	}
	if index.CheckKey(k) != nil {
		return ledger.Copy{}, false, noCopy("complete", k)
	}
	c, held, err = x.changeCopy(ctx, k, false, func(r *copyRow, at time.Time) bool {
		if !r.atWork(fence) {
			return false
		}
		r.FileID, r.RemoteName, r.ExpiresAt = f.ID, f.Name, f.ExpiresAt
		r.Error, r.Uncertain, r.NextAttemptAt = nil, false, time.Time{}
		if f.Status == providers.StatusReady {
			r.State, r.Attempts, r.ReadyAt, r.LeaseUntil = ledger.StateReady, 0, at, time.Time{}
		} else {
			r.State = ledger.StateProcessing
		}
		return true
	})
	if err != nil {
		return ledger.Copy{}, false, copyFault(ctx, "complete", k, err)
	}
	repeated := c.Fence == fence && c.State == ledger.StateReady && c.FileID == f.ID
	return c, held || repeated, nil
}

// FailCopy implements ledger.Store. It may be repeated: who finds the row under
// its own fence in the state that it gives has put it there.
func (x *Index) FailCopy(ctx context.Context, k ledger.Key, fence int64, f ledger.Failure) (c ledger.Copy, held bool, err error) {
	if err := index.CheckFailure(f); err != nil {
		return ledger.Copy{}, false, fmt.Errorf("fail copy %s: %w", k, err)
	}
	if index.CheckKey(k) != nil {
		return ledger.Copy{}, false, noCopy("fail", k)
	}
	c, held, err = x.changeCopy(ctx, k, false, func(r *copyRow, at time.Time) bool {
		renewal := r.State == ledger.StateUploading && r.FileID != ""
		if !r.atWork(fence) || (f.State == ledger.StateReady && !renewal) {
			return false
		}
		r.fail(f, at)
		r.State = f.State
		if f.State != ledger.StateReady { // a renewal that failed leaves the file there was; all others leave none
			r.FileID, r.RemoteName, r.ExpiresAt = "", "", time.Time{}
		}
		return true
	})
	if err != nil {
		return ledger.Copy{}, false, copyFault(ctx, "fail", k, err)
	}
	if !held && c.Fence == fence && !c.LeaseUntil.IsZero() && c.State != ledger.StateDeleting {
		return ledger.Copy{}, false, fmt.Errorf("fail copy %s: there is no earlier file with which it could be ready", k)
	}
	return c, held || (c.Fence == fence && c.State == f.State), nil
}

// fail records a failure, and ends the lease.
func (r *copyRow) fail(f ledger.Failure, at time.Time) {
	r.Error, r.LeaseUntil, r.NextAttemptAt = f.Error, time.Time{}, time.Time{}
	r.Uncertain = r.Uncertain || f.Uncertain
	if f.Again {
		r.NextAttemptAt = at.Add(f.After)
	}
}

// LoseCopy implements ledger.Store.
func (x *Index) LoseCopy(ctx context.Context, k ledger.Key, fileID string, allowed int, window time.Duration) (ledger.Copy, error) {
	if index.CheckKey(k) != nil {
		return ledger.Copy{}, noCopy("lose", k)
	}
	c, _, err := x.changeCopy(ctx, k, false, func(r *copyRow, at time.Time) bool {
		if (r.State != ledger.StateReady && r.State != ledger.StateProcessing) || r.FileID != fileID {
			return false
		}
		if passed(r.lostAt, at.Add(-window)) {
			r.Losses = 0
		}
		r.Losses++
		r.State, r.FileID, r.RemoteName, r.ExpiresAt = ledger.StateLost, "", "", time.Time{}
		r.LeaseUntil, r.lostAt, r.NextAttemptAt = time.Time{}, at, at
		if r.Losses > allowed {
			r.NextAttemptAt = at.Add(window)
		}
		return true
	})
	if err != nil {
		return ledger.Copy{}, copyFault(ctx, "lose", k, err)
	}
	if c.State == ledger.StateDeleted {
		return ledger.Copy{}, noCopy("lose", k)
	}
	return c, nil
}
