package replicator

import (
	"sync"

	"casgate/providers"
)

const (
	// maxPlacements bounds the placements that are remembered, and maxPlacementKey the
	// texts of each, in bytes: clients choose them.
	maxPlacements   = 1000
	maxPlacementKey = 512
)

// placements remembers what follows from the name and the types of a file. To find that
// takes a third of the time of ensuring a copy that is ready.
type placements struct {
	mu    sync.RWMutex
	known map[placementKey]placement
}

// placementKey is what decides about a placement. What a provider says of its account stays the same
// as long as the process runs.
type placementKey struct{ provider, name, declared, detected, purpose string }

// placement is a file as a provider gets it.
type placement struct {
	providers.Placement
	fileType providers.FileType
	name     string // without what could mislead a provider
}

func newPlacements() *placements { return &placements{known: map[placementKey]placement{}} }

// of returns the placement of a file at an account.
func (s *placements) of(description providers.Description, key placementKey) (placement, error) {
	s.mu.RLock()
	found, ok := s.known[key]
	s.mu.RUnlock()
	if ok {
		return found, nil
	}
	p := placement{fileType: providers.TypeOf(key.name, key.declared, key.detected), name: providers.CleanName(key.name)}
	var err error
	if p.Placement, err = description.Place(p.fileType, key.purpose); err != nil || len(key.name)+len(key.declared)+len(key.detected) > maxPlacementKey {
		return p, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxPlacements {
		clear(s.known)
	}
	s.known[key] = p
	return p, nil
}
