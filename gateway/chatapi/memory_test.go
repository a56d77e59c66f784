package chatapi

import (
	"errors"
	"testing"

	"casgate/cas/journal"
	"casgate/gateway/problem"
)

// TestMemoryIsShared: one token leaves a quarter of the memory to others, and one request
// always fits.
func TestMemoryIsShared(t *testing.T) {
	t.Parallel()
	m := newMemory(400, 100)
	first, second := m.reserve("token:1"), m.reserve("token:2")
	if err := first.grow(200); err != nil {
		t.Fatal(err)
	}
	if err := first.grow(101); !errors.Is(err, problem.RequestTooLarge) {
		t.Errorf("more than one request may have: %v", err)
	}
	third := m.reserve("token:1")
	if err := third.grow(100); err != nil {
		t.Fatal(err)
	}
	if err := third.grow(1); !errors.Is(err, problem.TooManyRequests) {
		t.Errorf("more than a token's share: %v", err)
	}
	if err := second.grow(100); err != nil {
		t.Errorf("another token: %v", err)
	}
	if err := second.grow(1); !errors.Is(err, problem.Overloaded) {
		t.Errorf("more than all: %v", err)
	}
	first.release()
	first.release()
	third.shrink(60)
	third.release()
	second.release()
	if m.used != 0 || len(m.of) != 0 {
		t.Errorf("%d bytes are used, %v", m.used, m.of)
	}
	for range 4 {
		if err := m.reserve(journal.ActorNone).grow(100); err != nil {
			t.Errorf("without tokens: %v", err)
		}
	}
	if err := newMemory(100, 100).reserve("token:1").grow(100); err != nil {
		t.Errorf("one request: %v", err)
	}
}
