package replicator

import (
	"context"
	"maps"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"casgate/providers/ledger"
)

// room orders the uploads to an account, and knows which of them have a place there.
type room struct {
	// uploads is shared by running uploads. One that must make room has it alone.
	uploads *semaphore.Weighted
	// evicting is held by the one upload that evicts copies.
	evicting *semaphore.Weighted
	// counting is shared by changes of rows that begin or end an upload. A count of the
	// account has it alone: it sees both the row and the place, or neither.
	counting *semaphore.Weighted

	mu     sync.Mutex
	places map[*place]struct{} // of the uploads that this process has claimed
	// kept counts the evictions that the provider has refused recently, by copy. deleted has
	// the times at which files were deleted recently, by id.
	kept    map[ledger.Key]refusedDeletes
	deleted map[string]deletedFile
}

// refusedDeletes are refused deletes of a copy that was to make room.
type refusedDeletes struct {
	n    int
	last time.Time
}

const (
	// After maxRefusedDeletes in a row a copy is not evicted for refusedFor.
	maxRefusedDeletes = 3
	refusedFor        = time.Hour
)

// place is the place in an account that an upload needs.
type place struct {
	room  *room
	copy  ledger.Copy // as claimed
	asked time.Time   // before the claim
	// reserved: there is room for the file, until the upload ends. Otherwise the upload
	// waits for room. Guarded by room.mu.
	reserved bool
}

func newRoom() *room {
	return &room{
		uploads: semaphore.NewWeighted(math.MaxInt64), evicting: semaphore.NewWeighted(1),
		counting: semaphore.NewWeighted(math.MaxInt64), places: make(map[*place]struct{}),
		kept: make(map[ledger.Key]refusedDeletes), deleted: make(map[string]deletedFile),
	}
}

// share waits until no upload has the account alone.
func (r *room) share(ctx context.Context) (leave func(), err error) { return hold(ctx, r.uploads, 1) }

// takeAll waits until no upload runs, and keeps others from starting. They start in the
// order in which they came.
func (r *room) takeAll(ctx context.Context) (leave func(), err error) {
	return hold(ctx, r.uploads, math.MaxInt64)
}

// make waits until no other upload evicts copies.
func (r *room) make(ctx context.Context) (done func(), err error) { return hold(ctx, r.evicting, 1) }

// count waits until no upload begins or ends, and keeps others from doing so.
func (r *room) count(ctx context.Context) (done func(), err error) {
	return hold(ctx, r.counting, math.MaxInt64)
}

// hold acquires n of a semaphore.
func hold(ctx context.Context, s *semaphore.Weighted, n int64) (release func(), err error) {
	if err := s.Acquire(ctx, n); err != nil {
		return nil, context.Cause(ctx)
	}
	return func() { s.Release(n) }, nil
}

// enter claims a row, and adds its place if the claim begins an upload. An earlier upload
// may have stored a file; then the place is reserved for it. The place has the row, also if
// the claim was not won.
func (r *room) enter(ctx context.Context, claim func() (ledger.Copy, bool, error)) (p *place, won bool, err error) {
	done, err := hold(ctx, r.counting, 1)
	if err != nil {
		return nil, false, err
	}
	defer done()
	p = &place{room: r, asked: time.Now()}
	if p.copy, won, err = claim(); err != nil || !won || p.copy.State != ledger.StateUploading {
		return p, won, err
	}
	p.reserved = len(p.copy.MayTurnUp()) > 0
	r.mu.Lock()
	defer r.mu.Unlock()
	r.places[p] = struct{}{}
	return p, won, nil
}

// reserve gives an upload its place, or takes it back after a refusal.
func (p *place) reserve(reserved bool) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	p.reserved = reserved
}

// leave makes a change of the row that ends the upload, and removes the place.
func (p *place) leave(ctx context.Context, change func() error) error {
	done, err := hold(ctx, p.room.counting, 1)
	if err != nil {
		return err
	}
	defer done()
	err = change()
	if err == nil {
		p.remove()
	}
	return err
}

// remove removes the place. Safe to repeat.
func (p *place) remove() {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	delete(p.room.places, p)
}

// occupancy is what the uploads of this process mean for the counts of an account.
type occupancy struct {
	claimed  map[string]FileCount // by purpose: rows that the ledger counts as uploading
	reserved map[string]FileCount // by purpose: uploads that have a place
}

// occupied counts the places of an account's uploads, except the one of p, which counts as
// reserved.
func (r *room) occupied(p *place) occupancy {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := occupancy{claimed: make(map[string]FileCount), reserved: make(map[string]FileCount)}
	for other := range r.places {
		c, n := other.copy, FileCount{1, other.copy.Size}
		if c.FileID == "" {
			o.claimed[c.Purpose] = o.claimed[c.Purpose].plus(n)
		}
		if other.reserved || other == p {
			o.reserved[c.Purpose] = o.reserved[c.Purpose].plus(n)
		}
	}
	return o
}

// noteKept records that the provider has refused to delete a copy. A delete that was not
// sent doesn't count.
func (r *room) noteKept(k ledger.Key, cause error) {
	if notMade(cause) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[k] = refusedDeletes{r.kept[k].n + 1, time.Now()}
}

// keeps reports whether the provider has refused to delete a copy again and again.
func (r *room) keeps(k ledger.Key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	refused, ok := r.kept[k]
	if ok && time.Since(refused.last) > refusedFor {
		delete(r.kept, k)
		return false
	}
	return refused.n >= maxRefusedDeletes
}

// deletedFile says when a file was deleted, and until when a list may still have it.
type deletedFile struct{ at, until time.Time }

// noteDeleted records that a copy's file was deleted. A list may have it until then.
func (r *room) noteDeleted(k ledger.Key, fileID string, until time.Time) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.kept, k)
	maps.DeleteFunc(r.deleted, func(_ string, f deletedFile) bool { return now.After(f.until) })
	r.deleted[fileID] = deletedFile{now, until}
}

// stillListed returns when the last of the files was deleted that a census has although
// they were deleted, and until when the list may have it. Zero: there are none.
func (r *room) stillListed(c Census) (since, until time.Time) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, f := range r.deleted {
		if c.listed[id] && !now.After(f.until) && f.until.After(until) {
			since, until = f.at, f.until
		}
	}
	return since, until
}
