package replicator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// leftovers returns the remote files of those attempts of a copy whose outcome is not
// known, by their names. If lists don't contain the purpose's files, it returns none.
func (r *Replicator) leftovers(ctx context.Context, p providers.Provider, c ledger.Copy) ([]providers.RemoteFile, error) {
	purpose, err := p.Describe().Purpose(c.Purpose, "")
	if err != nil {
		purpose = providers.Purpose{Name: c.Purpose} // the purpose was configured when the copy was made
	}
	if purpose.Unlisted {
		return nil, nil
	}
	isOurs, err := r.matcher(ctx, p.Describe(), c)
	if err != nil {
		return nil, err
	}
	all, err := r.listAll(ctx, p)
	if err != nil {
		return nil, err
	}
	var files []providers.RemoteFile
	for _, f := range all.files {
		if isOurs(f) && mayHaveSize(f, c.Size, purpose) {
			files = append(files, f)
		}
	}
	return withoutDuplicates(p.Describe(), files), nil
}

// withoutDuplicates returns the files without those that the provider has renamed, because
// it had a file with that name, where it also lists that one. Each attempt has a name of
// its own, and uploads once: another program has made the later file.
func withoutDuplicates(description providers.Description, files []providers.RemoteFile) []providers.RemoteFile {
	exact := make(map[providers.ParsedRemoteName]bool)
	for _, f := range files {
		if name, ok := providers.ParseRemoteName(f.Name); ok {
			exact[name] = true
		}
	}
	return slices.DeleteFunc(files, func(f providers.RemoteFile) bool {
		name, _ := description.ParseRemoteName(f.Name)
		_, ok := providers.ParseRemoteName(f.Name)
		return !ok && exact[name]
	})
}

// mayHaveSize reports whether a file can have the bytes of a blob of this size. A list may
// lack sizes. A file with our name and another size is somebody's who has changed it.
func mayHaveSize(f providers.RemoteFile, size int64, p providers.Purpose) bool {
	return f.Size == 0 || f.Size == size || p.Rewritten
}

// clockSkew is how much a provider's clock may be behind the database's. It is assumed.
const clockSkew = 10 * time.Minute

// matcher returns the test whether a listed file is of an attempt of a copy whose outcome is
// not known: it has exactly the name of that attempt, and wasn't made before. A list may
// give other purposes than the upload's. Only if the blob has copies with other purposes,
// whose names may be the same, the purpose must be the copy's.
func (r *Replicator) matcher(ctx context.Context, description providers.Description, c ledger.Copy) (func(providers.RemoteFile) bool, error) {
	mark, err := r.installationMark(ctx)
	if err != nil {
		return nil, err
	}
	all, err := r.ledger.Copies(ctx, c.Digest)
	if err != nil {
		return nil, err
	}
	ambiguous := slices.ContainsFunc(all, func(o ledger.Copy) bool {
		return o.Account == c.Account && o.Extension == c.Extension && o.Purpose != c.Purpose
	})
	began := make(map[providers.ParsedRemoteName]time.Time)
	for _, s := range c.MayTurnUp() {
		name := providers.ParsedRemoteName{Mark: mark, DigestHex: providers.RemoteNameDigest(c.Digest), Fence: s.Fence, Extension: c.Extension}
		began[name] = s.Began
	}
	return func(f providers.RemoteFile) bool {
		name, _ := description.ParseRemoteName(f.Name)
		start, isOpen := began[name]
		return isOpen && (f.CreatedAt.IsZero() || !f.CreatedAt.Before(start.Add(-clockSkew))) && (!ambiguous || f.Purpose == c.Purpose)
	}, nil
}

// adoptEarlier looks for the remote file of an earlier attempt, until it finds one or
// none can turn up any more. It adopts the newest file, and gives up all others.
func (r *Replicator) adoptEarlier(ctx context.Context, j job, o *outcome) error {
	unknown := o.row.MayTurnUp()
	if len(unknown) == 0 {
		return nil
	}
	if j.purpose.Unlisted {
		r.warnUnlisted(o.row)
		o.row, _ = r.noteLook(o.row, o.row.Fence, forgetAll(unknown))
		return nil
	}
	now, settling := r.databaseClock(o.row), j.purpose.Settling()
	for {
		began := now()
		files, err := r.leftovers(ctx, j.provider, o.row)
		if err != nil {
			return err
		}
		found := strangers(o.row, files)
		best := newest(j.description, found)
		if extra := slices.DeleteFunc(found, func(f providers.RemoteFile) bool { return f.ID == best.ID }); len(extra) > 0 {
			row, done := r.noteLook(o.row, o.row.Fence, giveUp(j.description, extra))
			if !done {
				return errLeaseLost
			}
			o.row = row
		}
		if best.ID != "" {
			name, _ := j.description.ParseRemoteName(best.Name)
			if best.ExpiresAt.IsZero() && j.purpose.Lifetime() > 0 {
				best.ExpiresAt = cmp.Or(best.CreatedAt, time.Now()).Add(j.purpose.Lifetime())
			}
			o.file, o.adopted = best, name.Fence
			return nil
		}
		last, waits := unsettled(unknown, began, settling)
		if !waits {
			return nil
		}
		left := last.At.Add(settling).Sub(now()) + time.Millisecond
		if err := pause(ctx, min(lookDelay(began, last.At), max(left, 0))); err != nil {
			return err
		}
	}
}

// newest returns the usable file of the newest attempt, or none.
func newest(description providers.Description, files []providers.RemoteFile) (best providers.RemoteFile) {
	var bestFence int64
	for _, f := range files {
		if name, _ := description.ParseRemoteName(f.Name); name.Fence > bestFence && f.Status != providers.StatusFailed {
			best, bestFence = f, name.Fence
		}
	}
	return best
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// fileOf returns a row's file in process.
func fileOf(c ledger.Copy) providers.RemoteFile {
	return providers.RemoteFile{ID: c.FileID, Name: c.RemoteName, Size: c.Size, Purpose: c.Purpose, ExpiresAt: c.ExpiresAt, Status: providers.StatusProcessing}
}

// lookUp returns a remote file, or KindLost if the provider doesn't know it or there is
// no way to ask.
func lookUp(ctx context.Context, p providers.Provider, purpose, id string) (providers.RemoteFile, error) {
	if retriever, ok := providers.Ability[providers.Retriever](p); ok {
		return retriever.Retrieve(ctx, id)
	}
	description := p.Describe()
	if !isUnlisted(description, purpose) {
		for f, err := range p.List(ctx, purpose) {
			if err != nil || f.ID == id {
				return f, err
			}
		}
	}
	return providers.RemoteFile{}, &providers.Error{
		Provider: description.Provider, Op: providers.OpList, Kind: providers.KindLost, Code: "not_listed",
		Message: fmt.Sprintf("the provider lists no file %s", id),
	}
}

// isGone reports whether the provider doesn't know a copy's file. While the file is
// fresh, "not there" means "not yet", so isGone asks again. If there is no way to ask,
// it trusts the caller's report.
func (r *Replicator) isGone(ctx context.Context, j job, c ledger.Copy) (bool, error) {
	err := untilSettled(ctx, c, j.purpose.Settling(), func() error {
		_, err := lookUp(ctx, j.provider, c.Purpose, c.FileID)
		return err
	})
	if providers.KindOf(err) == providers.KindLost {
		return true, nil
	}
	return false, err
}

// untilSettled calls ask again, with growing delays, while it returns KindLost and the
// copy's file is fresh.
func untilSettled(ctx context.Context, c ledger.Copy, settling time.Duration, ask func() error) error {
	for delay := firstLook; ; delay = min(2*delay, lastLook) {
		err := ask()
		if providers.KindOf(err) != providers.KindLost || !c.IsFresh(time.Now(), settling) {
			return err
		}
		if err := pause(ctx, delay); err != nil {
			return err
		}
	}
}

// verifyEntered checks whether the provider has the file of an entered copy, with the
// right size.
func (r *Replicator) verifyEntered(ctx context.Context, j job, c ledger.Copy) (providers.RemoteFile, error) {
	f, err := lookUp(ctx, j.provider, c.Purpose, c.FileID)
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
