package replicator

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// leftovers returns the remote files of all attempts of a copy, by their names. It
// reads the whole list before it returns, since an open list occupies one of the
// account's slots. If lists don't contain the purpose's files, it returns none.
func (r *Replicator) leftovers(ctx context.Context, p providers.Provider, c ledger.Copy) ([]providers.RemoteFile, error) {
	purpose, err := p.Describe().Purpose(c.Purpose, "")
	if err != nil {
		purpose = providers.Purpose{Name: c.Purpose} // the purpose was configured when the copy was made
	}
	if purpose.Unlisted {
		return nil, nil
	}
	mark, err := r.installationMark(ctx)
	if err != nil {
		return nil, err
	}
	var files []providers.RemoteFile
	for f, err := range p.List(ctx, c.Purpose) {
		if err != nil {
			return nil, err
		}
		if name, marked := providers.ParseRemoteName(f.Name); marked && name.Mark == mark && matches(c, name, f, purpose) {
			files = append(files, f)
		}
	}
	return files, nil
}

// matches reports whether a remote file belongs to this copy.
func matches(c ledger.Copy, name providers.ParsedRemoteName, f providers.RemoteFile, p providers.Purpose) bool {
	return name.DigestHex == providers.RemoteNameDigest(c.Digest) && name.Extension == c.Extension &&
		(f.Size == c.Size || p.Rewritten) && (f.Purpose == "" || f.Purpose == c.Purpose)
}

// findEarlier searches for the remote file of an earlier attempt.
func (r *Replicator) findEarlier(ctx context.Context, j job, c ledger.Copy) (providers.RemoteFile, bool, error) {
	if j.purpose.Unlisted {
		r.log.Warn().Str("operation_id", c.OperationID).Stringer("copy", c.Key).Msg("an earlier upload may have succeeded, and the provider doesn't list files of this purpose; uploading again")
		return providers.RemoteFile{}, false, nil
	}
	var best providers.RemoteFile
	var bestFence int64
	left, err := r.leftovers(ctx, j.provider, c)
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

// lookUp returns a remote file, or KindLost if the provider doesn't know it or there is
// no way to ask.
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

// isGone reports whether the provider doesn't know a file. If there is no way to ask,
// it trusts the caller's report.
func (r *Replicator) isGone(ctx context.Context, j job, id string) (bool, error) {
	_, err := r.lookUp(ctx, j, id)
	if providers.KindOf(err) == providers.KindLost {
		return true, nil
	}
	return false, err
}

// verifyEntered checks whether the provider has the file of an entered copy, with the
// right size.
func (r *Replicator) verifyEntered(ctx context.Context, j job, c ledger.Copy) (providers.RemoteFile, error) {
	f, err := r.lookUp(ctx, j, c.FileID)
	if err != nil {
		return f, err
	}
	if f.Size != 0 && f.Size != j.blob.Size && !j.purpose.Rewritten || f.Status == providers.StatusFailed {
		return providers.RemoteFile{}, &providers.Error{
			Provider: c.Provider, Op: providers.OpRetrieve, Kind: providers.KindLost, Code: "not_the_same",
			Message: fmt.Sprintf("the file %s entered for the copy is another one, or unusable", c.FileID),
		}
	}
	f.Name = cmp.Or(f.Name, c.RemoteName, c.Name)
	return f, nil
}

// discard deletes a remote file that no row names. After a failure, which it logs, a
// reconcile finds the file.
func (r *Replicator) discard(j job, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.working), time.Minute)
	defer cancel()
	if err := j.provider.Delete(ctx, id); err != nil && providers.KindOf(err) != providers.KindLost {
		r.log.Warn().Err(err).Str("operation_id", j.wanted.OperationID).Stringer("copy", j.wanted.Key).Str("file", id).Msg("a remote file is left; a reconcile will find it")
	}
}

// discardUnknown deletes the file of an interrupted upload if it exists: the file with
// this claim's fence in its name.
func (r *Replicator) discardUnknown(ctx context.Context, j job, c ledger.Copy, keep string) {
	left, err := r.leftovers(ctx, j.provider, c)
	if err != nil {
		r.log.Warn().Err(err).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Msg("could not search for a file that may be left; a reconcile will find it")
		return
	}
	for _, f := range left {
		if name, _ := providers.ParseRemoteName(f.Name); name.Fence == c.Fence && f.ID != keep {
			r.discard(j, f.ID)
		}
	}
}
