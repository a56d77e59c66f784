package replicator

import (
	"context"
	"math"

	"golang.org/x/sync/semaphore"
)

// room orders the uploads to an account that is full.
type room struct {
	// uploads is shared by running uploads. One that must make room has it alone.
	uploads *semaphore.Weighted
	// evicting is held by the one upload that evicts copies.
	evicting *semaphore.Weighted
}

func newRoom() *room {
	return &room{uploads: semaphore.NewWeighted(math.MaxInt64), evicting: semaphore.NewWeighted(1)}
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

// hold acquires n of a semaphore.
func hold(ctx context.Context, s *semaphore.Weighted, n int64) (release func(), err error) {
	if err := s.Acquire(ctx, n); err != nil {
		return nil, context.Cause(ctx)
	}
	return func() { s.Release(n) }, nil
}
