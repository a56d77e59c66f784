package transfer

import (
	"fmt"
	"sync"
	"time"

	"casgate/cmd/cas/internal/terminal"
)

const (
	// manyItems is the number of items above which a bar shows all of them together.
	manyItems = 20
	// ownBar is the size from which one of many files has a bar of its own, in bytes.
	ownBar = 8 << 20
)

// work counts the results of one call of Store, for the bar of all items and the summary.
// Its methods may be called on nil.
type work struct {
	items   []*Item
	many    bool
	bar     terminal.Counter
	started time.Time

	mu      sync.Mutex
	ended   int
	bytes   int64
	results map[string]int
}

// newWork shows the bar of the items, if there are many.
func newWork(shown *terminal.Progress, items []*Item) *work {
	w := &work{items: items, many: len(items) > manyItems, started: time.Now(), results: map[string]int{}}
	if !w.many {
		return w
	}
	var total int64
	for _, item := range items {
		total += item.share()
	}
	w.bar = shown.CountingShares("storing", 2*total, w.text)
	return w
}

// text is what stands beside the bar: how many files, and how fast if there is room.
func (w *work) text(width int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := fmt.Sprintf("%d of %d files", w.ended, len(w.items))
	if seconds := time.Since(w.started).Seconds(); width >= terminal.Roomy && seconds >= 1 {
		text += fmt.Sprintf(", %.0f/s", float64(w.ended)/seconds)
	}
	return text
}

// share is the part that an item has of the work: its bytes, and a little for the file
// itself. Half of the work is to read it, and half to send it.
func (i *Item) share() int64 {
	const perFile = 4 << 10
	return i.size + perFile
}

func (w *work) isMany() bool { return w != nil && w.many }

// hashed moves the bar: half of the item is done.
func (w *work) hashed(item *Item) {
	if w.isMany() {
		w.bar.Add(item.share())
	}
}

// finished counts the result of an item.
func (w *work) finished(result string, item *Item) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended++
	w.results[result]++
	w.bytes += max(item.size, item.source.Size)
	if w.many {
		w.bar.Add(item.share())
	}
}

// end removes the bar, and notes the summary of many items.
func (w *work) end(u *Uploader) {
	if !w.many {
		return
	}
	w.bar.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, item := range w.items {
		if item.Err != nil && !item.Stopped {
			w.results[failed]++
		}
	}
	u.Shown.Note("%d files, %s", len(w.items), summary(w.results, len(w.items), w.bytes, w.started))
}
