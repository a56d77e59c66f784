package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// action is what a client asked for.
type action string

const (
	actionPut    action = "put"
	actionDelete action = "delete"
	actionRead   action = "read"
)

// On copies. No order of them is checked; see checkCopies.
const (
	actionEnsure action = "ensure"
	actionRemove action = "remove"
)

// outcome is what a client learned from the answer.
type outcome string

const (
	done    outcome = "done"    // the write was acknowledged
	present outcome = "present" // a read brought the right bytes
	absent  outcome = "absent"  // 404
	unknown outcome = "unknown" // a write without an answer, or with an error: done or not, or done later
)

// event is a request of a client. A request that certainly had no effect, and told
// nothing, is not recorded.
type event struct {
	subject string // a blob's digest, a file's id, or a copy: digest@provider
	client  int
	gateway int
	life    int64 // of the gateway, when the request was sent
	action  action
	outcome outcome
	detail  string        // of the answer, for reports
	begin   time.Duration // since the start of the campaign
	end     time.Duration
}

func (e event) String() string {
	return fmt.Sprintf("%9.3f–%9.3f s  client %2d  gateway %d.%-3d  %-6s %-7s  %s",
		e.begin.Seconds(), e.end.Seconds(), e.client, e.gateway, e.life, e.action, e.outcome, e.detail)
}

// history has the events of a campaign. It is safe for concurrent use.
type history struct {
	started time.Time
	mu      sync.Mutex
	events  map[string][]event
	counts  map[string]int // by action and outcome
}

func newHistory() *history {
	return &history{started: time.Now(), events: map[string][]event{}, counts: map[string]int{}}
}

func (h *history) now() time.Duration { return time.Since(h.started) }

func (h *history) add(e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events[e.subject] = append(h.events[e.subject], e)
	h.counts[fmt.Sprintf("%s %s", e.action, e.outcome)]++
}

// of returns the events of a subject in the order of their beginnings.
func (h *history) of(subject string) []event {
	h.mu.Lock()
	defer h.mu.Unlock()
	events := slices.Clone(h.events[subject])
	slices.SortStableFunc(events, func(a, b event) int { return int(a.begin - b.begin) })
	return events
}

// subjects returns all subjects, sorted.
func (h *history) subjects() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.events))
}

// describe returns the events of a subject, one on a line.
func (h *history) describe(subject string) string {
	var b strings.Builder
	for _, e := range h.of(subject) {
		fmt.Fprintf(&b, "    %v\n", e)
	}
	return b.String()
}
