package replicator

import (
	"context"
	"maps"
	"sync"
	"time"

	"casgate/providers/ledger"
)

// uses gathers when copies were used, so that a look-up writes nothing.
type uses struct {
	mu   sync.Mutex
	last map[ledger.Key]time.Time
}

func newUses() *uses { return &uses{last: make(map[ledger.Key]time.Time)} }

// note records that a copy is used now.
func (u *uses) note(k ledger.Key) {
	now := time.Now()
	u.mu.Lock()
	u.last[k] = now
	u.mu.Unlock()
}

// flush writes what has gathered. What can't be written is kept for the next time.
func (u *uses) flush(ctx context.Context, store ledger.Store) error {
	u.mu.Lock()
	batch := u.last
	u.last = make(map[ledger.Key]time.Time)
	u.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	err := store.UseCopies(ctx, batch)
	if err != nil {
		u.mu.Lock()
		maps.Copy(batch, u.last) // what came meanwhile is newer
		u.last = batch
		u.mu.Unlock()
	}
	return err
}
