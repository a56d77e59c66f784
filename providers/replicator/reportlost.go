package replicator

import (
	"context"
	"errors"

	"casgate/providers/ledger"
)

// ReportLost handles a caller's report that a provider doesn't know a file id from
// Ensure. If the provider confirms it, the copy becomes lost and is uploaded again. A
// file id that is no longer the copy's changes nothing; an empty one means the copy's.
// It returns a usable copy.
func (r *Replicator) ReportLost(ctx context.Context, q Request, fileID string) (c ledger.Copy, created bool, err error) {
	j, err := r.plan(ctx, q)
	if err != nil {
		return ledger.Copy{}, false, err
	}
	fileID = j.description.FileID(fileID)
	c, err = r.ledger.Copy(ctx, j.wanted.Key)
	if errors.Is(err, ledger.ErrNotFound) {
		return r.Ensure(ctx, q)
	}
	if err != nil {
		return ledger.Copy{}, false, err
	}
	if c.State == ledger.StateReady && (fileID == "" || fileID == c.FileID) {
		gone, err := r.isGone(ctx, j, c)
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
