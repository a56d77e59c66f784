package localtier

import (
	"context"
	"time"

	"casgate/cas"
	"casgate/cas/folderstore"
)

// Pending returns the number of changed blobs that wait to be looked at.
func (t *Tier) Pending() int { return len(t.changed) }

// HoldEvictions keeps all others from evicting until release is called.
func (t *Tier) HoldEvictions() (release func()) {
	t.evicting <- struct{}{}
	return func() { <-t.evicting }
}

// Shrink lowers the limit, as a start does. It does not wait.
func (t *Tier) Shrink(limit int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limit, t.isReady = limit, false
	t.work.Go(func() { t.makeReady(false) })
}

// LookForMuchRoom evicts what it can, and returns how often it looked whether there is enough room.
func (t *Tier) LookForMuchRoom(ctx context.Context) (looks int) {
	t.evictUntil(ctx, nil, func() (is, mayBecome bool) { looks++; return false, true })
	return looks
}

// LookForCandidates looks for copies to evict, as an eviction does that finds too few.
func (t *Tier) LookForCandidates(ctx context.Context) {
	defer t.HoldEvictions()()
	t.lookForCandidates(ctx, folderstore.Parts)
}

// Witness returns what an upload's bytes pass, and what ends the upload.
func (t *Tier) Witness(ref cas.ObjectRef, size int64) (w cas.Witness, end func(isStored bool)) {
	u := t.newUpload(ref, size)
	return u, u.end
}

// SweepPart does what Run does with one part.
func (t *Tier) SweepPart(ctx context.Context, rows Rows, ref cas.ObjectRef) {
	t.sweep(ctx, rows, partOf(ref), func(cas.ObjectInfo) bool { return true })
}

// Fetched reports whether all bytes of an object that is being filled are in the copy.
func (t *Tier) Fetched(ref cas.ObjectRef) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.entries[ref].fill
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.isWhole
}

// BreakDraft makes the further writes of a fill fail, as a disk does that is gone.
func (t *Tier) BreakDraft(ref cas.ObjectRef) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries[ref].fill.draft.File.Close()
}

// Resume ends the pause after a failure of the folder.
func (t *Tier) Resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.resume = time.Time{}
}
