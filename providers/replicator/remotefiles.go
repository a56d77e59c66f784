package replicator

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// leftovers returns the remote files whose names say that they are a copy's, of
// whichever attempt. They are gathered before anything is done about them: a list
// that is being read takes up one of the account's calls.
//
// Of a purpose whose files aren't listed it finds none: there is no way to look.
func leftovers(ctx context.Context, p providers.Provider, c ledger.Copy) ([]providers.RemoteFile, error) {
	purpose, err := p.Describe().Purpose(c.Purpose, "")
	if err != nil {
		purpose = providers.Purpose{Name: c.Purpose} // it was configured when the copy was made
	}
	if purpose.Unlisted {
		return nil, nil
	}
	var files []providers.RemoteFile
	for f, err := range p.List(ctx, c.Purpose) {
		if err != nil {
			return nil, err
		}
		if name, ours := providers.ParseRemoteName(f.Name); ours && matches(c, name, f, purpose) {
			files = append(files, f)
		}
	}
	return files, nil
}

// matches reports whether a remote file is one of this copy's.
func matches(c ledger.Copy, name providers.ParsedRemoteName, f providers.RemoteFile, p providers.Purpose) bool {
	return name.DigestHex == providers.RemoteNameDigest(c.Digest) && name.Extension == c.Extension &&
		(f.Size == c.Size || p.Rewritten) && (f.Purpose == "" || f.Purpose == c.Purpose)
}

// findEarlier looks for a remote file that an earlier attempt has left.
func (r *Replicator) findEarlier(ctx context.Context, j job, c ledger.Copy) (providers.RemoteFile, bool, error) {
	if j.purpose.Unlisted {
		r.log.Warn().Str("operation_id", c.OperationID).Stringer("copy", c.Key).Msg("an earlier upload may have got through, and the provider doesn't list files of this purpose; uploading again")
		return providers.RemoteFile{}, false, nil
	}
	var best providers.RemoteFile
	var bestFence int64
	left, err := leftovers(ctx, j.provider, c)
	if err != nil {
		return providers.RemoteFile{}, false, err
	}
	for _, f := range left {
		if name, _ := providers.ParseRemoteName(f.Name); name.Fence > bestFence && f.ID != c.FileID && f.Status != providers.StatusFailed {
			best, bestFence = f, name.Fence
		}
	}
	if bestFence > 0 && best.ExpiresAt.IsZero() && j.purpose.Lifetime() > 0 {
		best.ExpiresAt = cmp.Or(best.CreatedAt, time.Now()).Add(j.purpose.Lifetime())
	}
	return best, bestFence > 0, nil
}

// lookUp returns what the provider says of a file, KindLost where it doesn't know
// it, or can't tell.
func (r *Replicator) lookUp(ctx context.Context, j job, id string) (providers.RemoteFile, error) {
	if retriever, ok := providers.Ability[providers.Retriever](j.provider); ok {
		return retriever.Retrieve(ctx, id)
	}
	if !j.purpose.Unlisted {
		for f, err := range j.provider.List(ctx, j.purpose.Name) {
			if err != nil || f.ID == id {
				return f, err
			}
		}
	}
	return providers.RemoteFile{}, &providers.Error{
		Provider: j.description.Provider, Op: providers.OpList, Kind: providers.KindLost, Code: "not_listed",
		Message: fmt.Sprintf("the provider lists no file %s", id),
	}
}

// isGone asks the provider whether it knows a file. Where it can't tell, the
// caller's word counts.
func (r *Replicator) isGone(ctx context.Context, j job, id string) (bool, error) {
	_, err := r.lookUp(ctx, j, id)
	if providers.KindOf(err) == providers.KindLost {
		return true, nil
	}
	return false, err
}

// verifyEntered looks whether the provider has the file that was noted for the copy,
// and in the size that it must have.
func (r *Replicator) verifyEntered(ctx context.Context, j job, c ledger.Copy) (providers.RemoteFile, error) {
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

// discard removes a remote file that no row names. What fails is logged, and the
// file left for a reconcile.
func (r *Replicator) discard(j job, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.working), time.Minute)
	defer cancel()
	if err := j.provider.Delete(ctx, id); err != nil && providers.KindOf(err) != providers.KindLost {
		r.log.Warn().Err(err).Str("operation_id", j.wanted.OperationID).Stringer("copy", j.wanted.Key).Str("file", id).Msg("a remote file is left over; a reconcile will find it")
	}
}

// discardUnknown removes the file of an upload that was broken off, in case it got
// through: exactly the one with this claim's fence in its name.
func (r *Replicator) discardUnknown(ctx context.Context, j job, c ledger.Copy, keep string) {
	left, err := leftovers(ctx, j.provider, c)
	if err != nil {
		r.log.Warn().Err(err).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Msg("could not look for a file that may be left over; a reconcile will find it")
		return
	}
	for _, f := range left {
		if name, _ := providers.ParseRemoteName(f.Name); name.Fence == c.Fence && f.ID != keep {
			r.discard(j, f.ID)
		}
	}
}
