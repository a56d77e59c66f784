package replicator

import (
	"context"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"casgate/providers/ledger"
)

// uses collects the times of use, so that a lookup needs no write. The first use of a copy in a
// period is written soon, for the evictions of other gateways, and those after it at its end.
type uses struct {
	flushing *semaphore.Weighted // held by the one flush that writes

	mu           sync.Mutex
	first, again map[ledger.Key]time.Time // not yet written
	// writing are the uses that a flush is writing. They count until the write has ended.
	writing map[ledger.Key]time.Time
	written map[ledger.Key]struct{} // in this period
}

func newUses() *uses {
	return &uses{
		flushing: semaphore.NewWeighted(1),
		first:    make(map[ledger.Key]time.Time), again: make(map[ledger.Key]time.Time),
		written: make(map[ledger.Key]struct{}),
	}
}

// note records a use of a copy now.
func (u *uses) note(k ledger.Key) {
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, isWritten := u.written[k]; isWritten {
		u.again[k] = now
	} else {
		u.first[k] = now
	}
}

// of returns the last use of a copy that the ledger may not have yet, or zero.
func (u *uses) of(k ledger.Key) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := u.writing[k]
	for _, unwritten := range []map[ledger.Key]time.Time{u.first, u.again} {
		if use := unwritten[k]; use.After(last) {
			last = use
		}
	}
	return last
}

// flushFirst writes the first uses in this period. After an error it keeps them for the next time.
func (u *uses) flushFirst(ctx context.Context, store ledger.Store) error {
	return u.write(ctx, store, func() map[ledger.Key]time.Time {
		batch := u.first
		u.first = make(map[ledger.Key]time.Time)
		return batch
	})
}

// flush writes all uses, and begins a new period. After an error it keeps them for the next time.
func (u *uses) flush(ctx context.Context, store ledger.Store) error {
	return u.write(ctx, store, func() map[ledger.Key]time.Time {
		batch := u.first
		maps.Copy(batch, u.again) // which are later
		u.first, u.again = make(map[ledger.Key]time.Time), make(map[ledger.Key]time.Time)
		u.written = make(map[ledger.Key]struct{}, len(batch))
		return batch
	})
}

// write writes what take takes away.
func (u *uses) write(ctx context.Context, store ledger.Store, take func() map[ledger.Key]time.Time) error {
	done, err := hold(ctx, u.flushing, 1)
	if err != nil {
		return err
	}
	defer done()
	u.mu.Lock()
	batch := take()
	u.writing = batch
	u.mu.Unlock()
	if len(batch) > 0 {
		err = store.UseCopies(ctx, batch)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.writing = nil
	if err != nil {
		batch = maps.Clone(batch) // the write may still read it
		maps.Copy(batch, u.first) // the later uses win
		u.first = batch
		return err
	}
	for k := range batch {
		u.written[k] = struct{}{}
	}
	return nil
}
