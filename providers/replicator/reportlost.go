package replicator

import (
	"context"
	"errors"

	"casgate/providers/ledger"
)

// ReportLost is what to call when a provider denies a file id that Ensure gave:
// where the provider really doesn't know the file any more, the copy is lost, and
// made anew. A file id that isn't the copy's any more changes nothing; an empty one
// stands for the copy's. The copy returned is usable.
func (r *Replicator) ReportLost(ctx context.Context, q Request, fileID string) (c ledger.Copy, created bool, err error) {
	j, err := r.plan(ctx, q)
	if err != nil {
		return ledger.Copy{}, false, err
	}
	c, err = r.ledger.Copy(ctx, j.wanted.Key)
	if errors.Is(err, ledger.ErrNotFound) {
		return r.Ensure(ctx, q)
	}
	if err != nil {
		return ledger.Copy{}, false, err
	}
	if c.State == ledger.StateReady && (fileID == "" || fileID == c.FileID) {
		gone, err := r.isGone(ctx, j, c.FileID)
		if err != nil {
			return ledger.Copy{}, false, err
		}
		if gone {
			if err := r.lose(ctx, c); err != nil {
				return ledger.Copy{}, false, err
			}
		}
	}
	return r.Ensure(ctx, q)
}
