package chatapi

import (
	"fmt"
	"sync"

	"casgate/cas/journal"
	"casgate/gateway/problem"
)

// memory bounds the bytes of the requests under way.
type memory struct {
	all   int64
	share int64 // the most of one token

	mu   sync.Mutex
	used int64
	of   map[string]int64 // by actor
}

// newMemory returns a memory of which one token can use three quarters at most, so that
// others can chat beside it. One request always fits.
func newMemory(all, request int64) *memory {
	return &memory{all: all, share: max(all-all/4, request), of: map[string]int64{}}
}

var (
	errNoMemory      = problem.New(problem.Overloaded, "the requests to models that are under way use all the memory allowed for them; try again shortly")
	errNoTokenMemory = problem.New(problem.TooManyRequests, "the requests to models of this token that are under way use all the memory that one token may use; try again shortly")
)

// take takes bytes for an actor, or returns an error at once.
func (m *memory) take(actor string, n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.used+n > m.all:
		return errNoMemory
	case m.of[actor]+n > m.share && actor != journal.ActorNone:
		return errNoTokenMemory
	}
	m.used += n
	m.of[actor] += n
	return nil
}

func (m *memory) give(actor string, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= n
	if m.of[actor] -= n; m.of[actor] == 0 {
		delete(m.of, actor)
	}
}

// reservation is the part of the memory that one request has.
type reservation struct {
	memory *memory
	actor  string

	mu   sync.Mutex
	size int64
}

func (m *memory) reserve(actor string) *reservation { return &reservation{memory: m, actor: actor} }

// grow takes more bytes, or returns an error at once.
func (r *reservation) grow(n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size+n > r.memory.share { // which no waiting helps
		return problem.New(problem.RequestTooLarge, fmt.Sprintf("the request needs %d bytes of memory with its files in it, and at most %d are allowed", r.size+n, r.memory.share))
	}
	if err := r.memory.take(r.actor, n); err != nil {
		return err
	}
	r.size += n
	return nil
}

// shrink gives bytes back.
func (r *reservation) shrink(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.memory.give(r.actor, n)
	r.size -= n
}

// release gives all bytes back.
func (r *reservation) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.memory.give(r.actor, r.size)
	r.size = 0
}
