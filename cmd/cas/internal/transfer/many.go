package transfer

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"casgate/cmd/cas/internal/terminal"
)

// Many is the bar of many things that a command moves one by one, and their summary. Its
// methods may be called on nil.
type Many struct {
	what    ManyOptions
	bar     terminal.Counter
	started time.Time

	mu      sync.Mutex
	results map[string]int
	bytes   int64
}

// ManyOptions say what is moved.
type ManyOptions struct {
	Shown *terminal.Progress
	Verb  string // such as fetching
	Noun  string // such as blobs
	Total int
}

// NewMany shows a bar. It returns nil if there are few.
func NewMany(o ManyOptions) *Many {
	if o.Total <= manyItems {
		return nil
	}
	m := &Many{what: o, started: time.Now(), results: map[string]int{}}
	m.bar = o.Shown.Counting(o.Verb, int64(o.Total), func() string { return o.Noun })
	return m
}

// Results of one thing, for the summary.
const (
	ResultStored       = "stored"
	ResultAlreadyThere = "already there"
	ResultFetched      = "fetched"
	wouldBeSent        = "would be sent"
	known              = "known"
	failed             = "failed"
)

// Finished counts a thing: its result and its bytes, or its error.
func (m *Many) Finished(result string, size int64, err error) {
	if m == nil {
		return
	}
	if err != nil {
		result, size = failed, 0
	}
	m.bar.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.results[result]++
	m.bytes += size
}

// End removes the bar, and notes the summary.
func (m *Many) End() {
	if m == nil {
		return
	}
	m.bar.Done()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.what.Shown.Note("%d %s, %s", m.what.Total, m.what.Noun, summary(m.results, m.what.Total, m.bytes, m.started))
}

// summary is the text about the results of so many things.
func summary(results map[string]int, total int, bytes int64, started time.Time) string {
	var parts []string
	left := total
	for _, result := range []string{ResultStored, ResultAlreadyThere, ResultFetched, wouldBeSent, known, failed} {
		if n := results[result]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, result))
			left -= n
		}
	}
	if left > 0 {
		parts = append(parts, fmt.Sprintf("%d left undone", left))
	}
	return fmt.Sprintf("%s: %s, in %v", terminal.Size(bytes), strings.Join(parts, ", "), time.Since(started).Round(100*time.Millisecond))
}
