package replicator

import (
	"cmp"
	"context"
	"fmt"

	"casgate/providers"
	"casgate/providers/ledger"
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

// verifyNoted looks whether the provider has the file that was noted for the copy,
// and in the size that it must have.
func (r *Replicator) verifyNoted(ctx context.Context, j job, c ledger.Copy) (providers.RemoteFile, error) {
	f, err := r.lookUp(ctx, j, c.FileID)
	if err != nil {
		return f, err
	}
	if f.Size != 0 && f.Size != j.blob.Size && !j.purpose.Rewritten || f.Status == providers.StatusFailed {
		return providers.RemoteFile{}, &providers.Error{
			Provider: c.Provider, Op: providers.OpRetrieve, Kind: providers.KindLost, Code: "not_the_same",
			Message: fmt.Sprintf("the file %s noted for the copy is another one, or unusable", c.FileID),
		}
	}
	f.Name = cmp.Or(f.Name, c.RemoteName, c.Name)
	return f, nil
}
