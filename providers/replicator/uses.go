package replicator

import (
	"context"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"casgate/providers/ledger"
)

// uses collects the times of use, so that a lookup needs no write.
type uses struct {
	flushing *semaphore.Weighted // held by the one flush that writes

	mu   sync.Mutex
	last map[ledger.Key]time.Time
	// writing are the uses that a flush is writing. They count until the write has ended.
	writing map[ledger.Key]time.Time
}

func newUses() *uses {
	return &uses{flushing: semaphore.NewWeighted(1), last: make(map[ledger.Key]time.Time)}
}

// note records a use of a copy now.
func (u *uses) note(k ledger.Key) {
	now := time.Now()
	u.mu.Lock()
	u.last[k] = now
	u.mu.Unlock()
}

// of returns the last use of a copy that the ledger may not have yet, or zero.
func (u *uses) of(k ledger.Key) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if last, ok := u.last[k]; ok {
		return last
	}
	return u.writing[k]
}

// flush writes the collected times. After an error it keeps them for the next time.
func (u *uses) flush(ctx context.Context, store ledger.Store) error {
	done, err := hold(ctx, u.flushing, 1)
	if err != nil {
		return err
	}
	defer done()
	u.mu.Lock()
	batch := u.last
	u.last, u.writing = make(map[ledger.Key]time.Time), batch
	u.mu.Unlock()
	if len(batch) > 0 {
		err = store.UseCopies(ctx, batch)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.writing = nil
	if err != nil {
		batch = maps.Clone(batch) // the write may still read it
		maps.Copy(batch, u.last)  // the later uses win
		u.last = batch
	}
	return err
}
