package replicator

import (
	"context"
)

// Enter records a copy that somebody has noted before there was this ledger, such as
// an old file manager: StateUnverified until it is first asked for, and then checked.
// Where the ledger has the copy already, nothing changes. A purpose that the provider
// doesn't have means its default.
func (r *Replicator) Enter(ctx context.Context, q Request, fileID string) error {
	p, err := r.account(q.Provider)
	if err != nil {
		return err
	}
	if _, err := p.Describe().Purpose(q.Purpose, ""); err != nil {
		q.Purpose = ""
	}
	j, err := r.plan(ctx, q)
	if err != nil {
		return err
	}
	_, err = r.ledger.EnterCopy(ctx, j.wanted, fileID)
	return err
}
