package replicator

import (
	"casgate/providers/ledger"
	"context"
)

// Enter records a copy that another program made earlier, such as an old file manager.
// The copy is StateUnverified until its first request, which checks it. If the ledger
// has the copy already, nothing changes. An unknown purpose means the provider's
// default.
func (r *Replicator) Enter(ctx context.Context, q Request, fileID string) error {
	p, err := r.account(q.Provider)
	if err != nil {
		return err
	}
	description := p.Describe()
	if _, err := description.Purpose(q.Purpose, ""); err != nil {
		q.Purpose = ""
	}
	j, err := r.plan(ctx, q)
	if err != nil {
		return err
	}
	_, _, err = r.ledger.Change(ctx, ledger.Enter(j.wanted, description.FileID(fileID)))
	return err
}
