package localtier

import (
	"cmp"
	"slices"

	"casgate/cas"
	"casgate/cas/folderstore"
)

const (
	// poolLow is the number of candidates below which more are looked for, up to poolHigh. The
	// least recently used ones of many go first, which comes close to the least recently
	// used of all.
	poolLow  = 32
	poolHigh = 96
	// maxFutile limits the candidates that one call can't evict.
	maxFutile = 1000
)

// candidate is a copy that may be evicted.
type candidate struct {
	ref     cas.ObjectRef
	lastUse uint32
}

// reserve makes room for a copy. It returns false if there is none.
func (t *Tier) reserve(ref cas.ObjectRef, size int64) bool {
	if size > t.limit {
		return false
	}
	if ok, mayWait := t.take(ref, size); ok || !mayWait {
		return ok
	}
	t.evicting.Lock()
	defer t.evicting.Unlock()
	for futile := 0; futile < maxFutile; {
		if ok, mayWait := t.take(ref, size); ok || !mayWait {
			return ok
		}
		found, evicted := t.evictOne()
		if !found {
			return false
		}
		if !evicted {
			futile++
		}
	}
	return false
}

// take reserves room that is there. MayWait reports whether an eviction can help.
func (t *Tier) take(ref cas.ObjectRef, size int64) (ok, mayWait bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.isEmptying {
		return false, false
	}
	if size > t.limit-t.used {
		return false, true
	}
	part := folderstore.PartOf(ref)
	if err := t.record.set(part, t.record.bytes[part]+size); err != nil {
		t.fault("write the record of the copies", err)
		return false, false
	}
	t.used += size
	return true, true
}

// free gives room back. The caller holds t.mu.
func (t *Tier) free(ref cas.ObjectRef, size int64) {
	part := folderstore.PartOf(ref)
	size = min(size, t.record.bytes[part])
	t.used -= size
	if err := t.record.set(part, t.record.bytes[part]-size); err != nil {
		t.record.bytes[part] -= size // the record has too many, as after a crash
		t.fault("write the record of the copies", err)
	}
}

// shrink evicts until the copies fit.
func (t *Tier) shrink() {
	t.evicting.Lock()
	defer t.evicting.Unlock()
	for futile := 0; futile < maxFutile && t.ctx.Err() == nil; {
		t.mu.Lock()
		fits := t.used <= t.limit
		t.mu.Unlock()
		if fits {
			return
		}
		found, evicted := t.evictOne()
		if !found {
			return
		}
		if !evicted {
			futile++
		}
	}
}

// evictOne evicts the least recently used candidate. Found is false if there are none. The
// caller holds t.evicting.
func (t *Tier) evictOne() (found, evicted bool) {
	if len(t.pool) < poolLow {
		t.lookForCandidates()
	}
	if len(t.pool) == 0 {
		return false, false
	}
	c := t.pool[0]
	t.pool = t.pool[1:]
	if t.record.lastUse(c.ref) != c.lastUse {
		return true, false // it was used since
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries[c.ref] != nil {
		return true, false // it is in use
	}
	e := t.acquire(c.ref)
	defer t.release(e)
	before := t.used
	if !t.remove(e) || t.used == before {
		return true, false
	}
	t.counts.evictions.Add(1)
	t.counts.evictedBytes.Add(before - t.used)
	return true, true
}

// lookForCandidates goes on through the parts that have bytes, at most once through all.
func (t *Tier) lookForCandidates() {
	known := make(map[cas.ObjectRef]bool, len(t.pool))
	for _, c := range t.pool {
		known[c.ref] = true
	}
	for range folderstore.Parts {
		if len(t.pool) >= poolHigh {
			break
		}
		part := folderstore.Part(t.hand)
		t.hand = (t.hand + 1) % folderstore.Parts
		for _, o := range t.correct(part) {
			if !known[o.ObjectRef] {
				t.pool = append(t.pool, candidate{o.ObjectRef, t.record.lastUse(o.ObjectRef)})
			}
		}
	}
	slices.SortStableFunc(t.pool, func(a, b candidate) int { return cmp.Compare(a.lastUse, b.lastUse) })
}

// correct returns the copies of a part. If none of its objects is in use, it corrects the
// part's bytes: a killed process may have left too many.
func (t *Tier) correct(part folderstore.Part) []cas.ObjectInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.record.bytes[part] == 0 {
		return nil
	}
	found, err := t.folder.ListPart(part)
	if err != nil {
		t.fault("list copies", err)
		return nil
	}
	if t.inPart[part] > 0 {
		return found
	}
	var sum int64
	for _, o := range found {
		sum += o.Size
	}
	if before := t.record.bytes[part]; sum != before {
		if err := t.record.set(part, sum); err != nil {
			t.fault("write the record of the copies", err)
		} else {
			t.used += sum - before
		}
	}
	return found
}
