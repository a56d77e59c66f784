package journal

import (
	"sync"
	"time"
)

// maxSubjects is the number of subjects that are gathered at the same time. A subject
// takes about half a KiB of memory.
const maxSubjects = 20_000

// subject is what operations must have in common to share a record.
type subject struct {
	kind                    Kind
	actor, fileID, provider string
	digest                  [32]byte
}

func subjectOf(r *Record) subject {
	return subject{kind: r.Kind, actor: r.Actor, fileID: r.FileID, provider: r.Provider, digest: r.Digest}
}

// coarse is the subject of operations on any blob. It is used where there are too many
// subjects.
func (s subject) coarse() subject { return subject{kind: s.kind, actor: s.actor, provider: s.provider} }

// window is a minute of operations on a subject.
type window struct {
	subject subject
	began   time.Time
	sum     Record // its Count is the number of operations so far, also if that is 0 or 1
}

// gatherer joins operations on the same subject to one record for each window. It is safe
// for concurrent use.
type gatherer struct {
	length time.Duration // of a window; 0 or less: nothing is gathered

	mu      sync.Mutex
	windows map[subject]*window
	queue   []*window // all windows, the oldest first
	waiting int       // windows with operations
}

func newGatherer(length time.Duration) *gatherer {
	return &gatherer{length: length, windows: map[subject]*window{}}
}

// gathers reports whether a record may be joined to others.
func (g *gatherer) gathers(r *Record) bool {
	return g.length > 0 && r.ChangesNothing && r.Outcome == OutcomeOK
}

// add takes a record of a subject that has a window, and reports whether it did. If not, it
// opens a window, and the caller stores the record by itself: the first operation on a
// subject is seen at once. If there are too many subjects, add takes the record for a
// subject that stands for many.
func (g *gatherer) add(r *Record) (taken bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := subjectOf(r)
	w, isOpen := g.windows[s]
	switch {
	case isOpen:
		g.join(w, r)
		return true
	case len(g.windows) < maxSubjects:
		g.open(s, r)
		return false
	}
	s = s.coarse()
	if w, isOpen = g.windows[s]; !isOpen {
		w = g.open(s, r)
	}
	g.join(w, r)
	return true
}

// addAnyway takes a record that add did not take.
func (g *gatherer) addAnyway(r *Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := subjectOf(r)
	w, isOpen := g.windows[s]
	if !isOpen {
		w = g.open(s, r)
	}
	g.join(w, r)
}

// open opens a window with an operation.
func (g *gatherer) open(s subject, r *Record) *window {
	w := &window{subject: s, began: r.Start.Add(r.Duration)}
	g.windows[s] = w
	g.queue = append(g.queue, w)
	return w
}

// join adds an operation to a window.
func (g *gatherer) join(w *window, r *Record) {
	if w.sum.Count == 0 {
		w.sum = Record{
			ID: r.ID, Kind: r.Kind, Actor: r.Actor, FileID: w.subject.fileID, Provider: r.Provider, Digest: w.subject.digest,
			Start: r.Start, Outcome: r.Outcome,
		}
		g.waiting++
	}
	w.sum.Count++
	w.sum.Duration += r.Duration
	w.sum.Bytes += r.Bytes
	w.sum.LastStart = r.Start
}

// due returns at most limit records of windows that are over at this time. A subject
// without operations in its window is forgotten. Others get a new window.
func (g *gatherer) due(now time.Time, limit int) (records []Record) {
	return g.take(limit, func(w *window) bool { return now.Sub(w.began) >= g.length }, now)
}

// all returns at most limit records of all windows.
func (g *gatherer) all(limit int) []Record {
	return g.take(limit, func(*window) bool { return true }, time.Now())
}

func (g *gatherer) take(limit int, isOver func(*window) bool, now time.Time) (records []Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for range len(g.queue) {
		w := g.queue[0]
		if len(records) == limit || !isOver(w) {
			break
		}
		g.queue[0] = nil
		g.queue = g.queue[1:]
		if w.sum.Count == 0 {
			delete(g.windows, w.subject)
			continue
		}
		records = append(records, w.sum.complete())
		g.waiting--
		w.sum, w.began = Record{}, now
		g.queue = append(g.queue, w)
	}
	return records
}

// complete returns a record that was gathered. One of a single operation is like any other.
func (r Record) complete() Record {
	if r.Count == 1 {
		r.Count, r.LastStart = 0, time.Time{}
	}
	return r
}

// operations returns the number of operations of a record.
func (r Record) operations() uint64 { return uint64(max(r.Count, 1)) }

// len returns the number of records that wait for the end of their windows.
func (g *gatherer) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}
