package replicator

import (
	"context"
	"maps"
	"sync"
	"time"

	"casgate/providers/ledger"
)

// uses collects the times of use, so that a lookup needs no write.
type uses struct {
	mu   sync.Mutex
	last map[ledger.Key]time.Time
}

func newUses() *uses { return &uses{last: make(map[ledger.Key]time.Time)} }

// note records a use of a copy now.
func (u *uses) note(k ledger.Key) {
	now := time.Now()
	u.mu.Lock()
	u.last[k] = now
	u.mu.Unlock()
}

// flush writes the collected times. After an error it keeps them for the next time.
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
		maps.Copy(batch, u.last) // the later uses win
		u.last = batch
		u.mu.Unlock()
	}
	return err
}
