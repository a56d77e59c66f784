package localtier

import "sync/atomic"

// counts are the counters of Stats.
type counts struct {
	hits, joins, misses, fills, refused, evictions, evictedBytes, damaged, errors atomic.Int64
}

// Stats counts what a tier has done since it was opened.
type Stats struct {
	Hits         int64 // reads from a copy
	Joins        int64 // reads from a copy that another reader was making
	Misses       int64 // reads of the object itself
	Fills        int64 // copies that were made, of reads and uploads
	Refused      int64 // copies for which there was no room
	Evictions    int64 // copies that were removed to make room
	EvictedBytes int64
	Damaged      int64 // copies with wrong bytes
	Errors       int64 // failures of the folder
	Bytes        int64 // bytes of all copies now, with those that are being made
	Limit        int64 // the most bytes
	IsFailing    bool  // the folder failed in the last moments, so no copies are made
}

// Stats returns the counts.
func (t *Tier) Stats() Stats {
	c := &t.counts
	s := Stats{
		Hits: c.hits.Load(), Joins: c.joins.Load(), Misses: c.misses.Load(), Fills: c.fills.Load(), Refused: c.refused.Load(),
		Evictions: c.evictions.Load(), EvictedBytes: c.evictedBytes.Load(), Damaged: c.damaged.Load(), Errors: c.errors.Load(),
		Limit: t.limit,
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Bytes, s.IsFailing = t.used, t.isPaused()
	return s
}
