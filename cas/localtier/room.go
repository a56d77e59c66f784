package localtier

import (
	"cmp"
	"context"
	"slices"
	"time"

	"casgate/cas"
	"casgate/cas/folderstore"
)

const (
	// poolLow is the number of candidates below which more are looked for, up to poolHigh. The
	// least recently used ones of many go first, which comes close to the least recently
	// used of all.
	poolLow  = 32
	poolHigh = 96
	// slowSize is the size of a copy, in bytes, from which on its removal takes so long that nobody
	// may wait for it but those who need the room: 64 MiB take four milliseconds.
	slowSize = 1 << 20
	// maxPrivate limits the private copies that are remembered.
	maxPrivate = 4096
	// waitForRoom is how long a read or an upload waits for evictions. Then it goes on without
	// a copy. What was evicted helps the next one.
	waitForRoom = 100 * time.Millisecond
)

// candidate is a copy that may be evicted.
type candidate struct {
	ref     cas.ObjectRef
	lastUse uint32
}

// reservation is the room of a copy that is to be made.
type reservation struct {
	ref  cas.ObjectRef
	size int64
	// draft is the file on disk of an evicted copy, to write the new one over it; nil: there is
	// none.
	draft *folderstore.Draft
	// isTaken: the room counts.
	isTaken bool
}

// reserve makes room for a copy. It returns false if there is none soon.
func (t *Tier) reserve(r *reservation) bool {
	if r.size > t.limit {
		return false
	}
	if mayWait := t.take(r); r.isTaken || !mayWait {
		return r.isTaken
	}
	ctx, cancel := context.WithTimeout(t.ctx, waitForRoom)
	defer cancel()
	t.evictUntil(ctx, r, func() (is, mayBecome bool) {
		if !r.isTaken {
			mayBecome = t.take(r)
		}
		return r.isTaken, mayBecome
	})
	return r.isTaken
}

// take reserves room that is there. MayWait reports whether an eviction can help.
func (t *Tier) take(r *reservation) (mayWait bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.size > t.limit-t.used {
		return true
	}
	t.count(r)
	return false
}

// count counts the room of a reservation, which is there. If that fails, it is not taken. The caller
// holds t.mu.
func (t *Tier) count(r *reservation) {
	part := folderstore.PartOf(r.ref)
	if err := t.record.set(part, t.record.bytes[part]+r.size); err != nil {
		t.fault("write the record of the copies", err)
		return
	}
	t.used += r.size
	r.isTaken = true
}

// free gives room back. The caller holds t.mu.
func (t *Tier) free(ref cas.ObjectRef, size int64) {
	part := folderstore.PartOf(ref)
	size = min(size, t.record.bytes[part])
	t.used -= size
	if err := t.record.set(part, t.record.bytes[part]-size); err != nil {
		t.record.count(part, t.record.bytes[part]-size) // the file on disk has too many, as after a crash
		t.fault("write the record of the copies", err)
	}
}

// fits reports whether the copies fit. An eviction can help if they don't.
func (t *Tier) fits() (is, mayBecome bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.used <= t.limit, true
}

// evictUntil evicts copies until there is enough room, which it reports. It gives up when ctx is
// done, and when it has gone once round all copies and none could be evicted. The reservation r, if there
// is one, may take over the file on disk and the room of an evicted copy.
func (t *Tier) evictUntil(ctx context.Context, r *reservation, isEnough func() (is, mayBecome bool)) bool {
	select {
	case t.evicting <- struct{}{}:
		defer func() { <-t.evicting }()
	case <-ctx.Done():
		return false
	}
	for unseen := folderstore.Parts; ctx.Err() == nil; {
		if is, mayBecome := isEnough(); is || !mayBecome {
			return is
		}
		if len(t.pool) < poolLow {
			unseen -= t.lookForCandidates(ctx, unseen)
		}
		if len(t.pool) == 0 {
			is, _ := isEnough() // the look may have corrected the bytes
			return is
		}
		if t.evictFirst(r) {
			unseen = folderstore.Parts
		}
	}
	return false
}

// evictFirst evicts the least recently used candidate. It returns false if it can't. The
// caller holds t.evicting.
func (t *Tier) evictFirst(r *reservation) bool {
	first := t.pool[0]
	t.pool = t.pool[1:]
	if t.record.lastUse(first.ref) != first.lastUse {
		return false // it was used since
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries[first.ref] != nil {
		return false // it is in use
	}
	e := t.acquire(first.ref)
	defer t.release(e)
	freed, ok := t.evict(e, r)
	if !ok {
		t.record.use(first.ref) // so that others go first for long
		return false
	}
	if freed == 0 {
		return false
	}
	t.counts.evictions.Add(1)
	t.counts.evictedBytes.Add(freed)
	return true
}

// evict removes the copy of an object that nobody uses, and returns how many bytes that has freed.
// The caller holds t.mu, which is unlocked while a large copy is removed, or handed to the reservation r. Its
// bytes count until they are gone.
func (t *Tier) evict(e *entry, r *reservation) (freed int64, ok bool) {
	stat, err := t.folder.Stat(context.Background(), e.ref)
	if err == nil && stat.Size >= slowSize {
		if retired, err := t.folder.Retire(e.ref); err == nil {
			isPrivate := t.private[e.ref]
			delete(t.private, e.ref)
			// Somebody may have made the file larger than what counts.
			counted := min(stat.Size, t.record.bytes[folderstore.PartOf(e.ref)])
			if isPrivate && r != nil && t.fitsInPlaceOf(r, counted) && t.handOver(e, counted, retired, r) {
				return counted, true
			}
			t.mu.Unlock()
			err := retired.Remove()
			t.mu.Lock()
			if err != nil {
				t.fault("remove a copy", err)
				return 0, true
			}
			t.free(e.ref, counted)
			return counted, true
		}
	}
	before := t.used
	ok = t.remove(e)
	return before - t.used, ok
}

// fitsInPlaceOf reports whether there is room for a reservation when a copy of so many bytes is gone. The
// caller holds t.mu.
func (t *Tier) fitsInPlaceOf(r *reservation, size int64) bool { return r.size <= t.limit-(t.used-size) }

// handOver gives the file on disk of an evicted copy of so many bytes, and its room, to a reservation. If it
// returns false, the file is to be removed. The caller holds t.mu, which is unlocked meanwhile.
func (t *Tier) handOver(e *entry, size int64, retired *folderstore.Retired, r *reservation) bool {
	t.mu.Unlock()
	draft, err := retired.Reuse(r.size)
	t.mu.Lock()
	if err != nil {
		return false
	}
	if t.fitsInPlaceOf(r, size) { // else others took the rest of the room
		t.count(r)
	}
	if !r.isTaken {
		draft.File.Close()
		return false
	}
	r.draft = draft
	t.free(e.ref, size)
	return true
}

// lookForCandidates goes on through the parts that have bytes. It returns how many parts it has
// passed, which are hardly more than most. The caller holds t.evicting.
func (t *Tier) lookForCandidates(ctx context.Context, most int) (passed int) {
	known := make(map[cas.ObjectRef]bool, len(t.pool))
	for _, c := range t.pool {
		known[c.ref] = true
	}
	for passed < most && len(t.pool) < poolHigh && ctx.Err() == nil {
		t.mu.Lock()
		empty := t.record.toFilled(t.hand)
		t.mu.Unlock()
		passed += empty + 1
		if empty == folderstore.Parts {
			break
		}
		part := t.hand + folderstore.Part(empty)
		t.hand = part + 1
		for _, o := range t.correct(part) {
			if !known[o.ObjectRef] {
				t.pool = append(t.pool, candidate{o.ObjectRef, t.record.lastUse(o.ObjectRef)})
			}
		}
	}
	slices.SortStableFunc(t.pool, func(a, b candidate) int { return cmp.Compare(a.lastUse, b.lastUse) })
	return passed
}

// correct returns the copies of a part. If none of its objects is in use, it corrects the
// part's bytes: a killed process may have left too many.
func (t *Tier) correct(part folderstore.Part) []cas.ObjectInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, err := t.folder.ListPart(part)
	if err != nil {
		t.fault("list copies", err)
		return nil
	}
	if t.inPart[part] > 0 {
		return found
	}
	if sum, before := sumOf(found), t.record.bytes[part]; sum != before {
		if err := t.record.set(part, sum); err != nil {
			t.fault("write the record of the copies", err)
		} else {
			t.used += sum - before
		}
	}
	return found
}

// sumOf returns the bytes of some copies.
func sumOf(copies []cas.ObjectInfo) (sum int64) {
	for _, o := range copies {
		sum += o.Size
	}
	return sum
}
