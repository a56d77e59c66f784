package cas

import "sync"

// uses are the blobs that were used since they were last taken.
type uses struct {
	mu   sync.Mutex
	seen map[Digest]struct{}
}

// MarkUsed records a use of a blob that is no read by this Store, such as a URL that
// reads it from the bucket. It does nothing unless Options.RecordUses is set.
func (s *Store) MarkUsed(d Digest) {
	if s.uses == nil {
		return
	}
	s.uses.mu.Lock()
	defer s.uses.mu.Unlock()
	s.uses.seen[d] = struct{}{}
}

// TakeUses returns the blobs that were used since its last call, if Options.RecordUses
// is set.
func (s *Store) TakeUses() []Digest {
	if s.uses == nil {
		return nil
	}
	s.uses.mu.Lock()
	defer s.uses.mu.Unlock()
	used := make([]Digest, 0, len(s.uses.seen))
	for d := range s.uses.seen {
		used = append(used, d)
	}
	clear(s.uses.seen)
	return used
}
