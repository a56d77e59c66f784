package journal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas/journal"
)

// memory is a store in memory.
type memory struct {
	mu      sync.Mutex
	records []journal.Record
	err     error
	applied bool // what fails is done nevertheless
	calls   int
	took    time.Duration // by each call
	busy    time.Duration // by all of them
}

func (m *memory) AppendRecords(_ context.Context, records []journal.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	time.Sleep(m.took)
	m.busy += m.took
	if m.err == nil || m.applied {
		m.records = append(m.records, records...)
	}
	return m.err
}

func (m *memory) Records(context.Context, journal.Query) ([]journal.Entry, error) { return nil, nil }

func (m *memory) Record(context.Context, string) (journal.Entry, error) {
	return journal.Entry{}, journal.ErrNotFound
}

func (m *memory) PruneRecords(_ context.Context, p journal.Prune) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := slices.DeleteFunc(slices.Clone(m.records), func(r journal.Record) bool { return r.Start.Before(p.Before) })
	if p.Keep > 0 {
		kept = kept[max(0, len(kept)-int(p.Keep)):]
	}
	n := len(m.records) - len(kept)
	m.records = kept
	return n, nil
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memory) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.records)
}

// all returns a copy of the records.
func (m *memory) all() []journal.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.records)
}

// effort returns how often records were stored, and how long that took in all.
func (m *memory) effort() (calls int, busy time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls, m.busy
}

func record(n int) journal.Record {
	return journal.Record{ID: fmt.Sprint(n), Kind: journal.KindUpload, Start: time.Now()}
}

// start runs a writer; the function returned ends it.
func start(w *journal.Writer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.Run(ctx) // ctx's error
	}()
	return func() { cancel(); <-ended }
}

// Records are gathered, stored in their order, and all there at the end.
func TestWriterStoresAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		w := journal.NewWriter(m, journal.WriterOptions{})
		stop := start(w)
		const n = 5500
		for i := range n {
			w.Add(record(i))
		}
		time.Sleep(time.Second)
		if calls, _ := m.effort(); calls > 25 {
			t.Errorf("%d records took %d calls", n, calls)
		}
		w.Add(record(n))
		stop()
		if m.len() != n+1 || w.Stored() != n+1 || w.Lost() != 0 || w.Queued() != 0 {
			t.Errorf("%d records are there, %d stored, %d lost", m.len(), w.Stored(), w.Lost())
		}
		for i, r := range m.records {
			if r.ID != fmt.Sprint(i) {
				t.Fatalf("record %d is %s", i, r.ID)
			}
		}
	})
}

// While the store is down, records wait and callers do not. Records that don't fit
// are counted.
func TestWriterWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{err: errors.New("away")}
		w := journal.NewWriter(m, journal.WriterOptions{Queue: 100})
		stop := start(w)
		w.Add(record(0))
		time.Sleep(time.Second) // it is being tried
		for i := range 150 {
			w.Add(record(i + 1))
		}
		time.Sleep(time.Minute)
		if m.len() != 0 || w.Lost() != 50 {
			t.Errorf("%d stored, %d lost; want none and 50", m.len(), w.Lost())
		}
		m.fail(nil)
		time.Sleep(time.Minute)
		if m.len() != 101 || w.Stored() != 101 || w.Lost() != 50 {
			t.Errorf("%d are there, %d stored, %d lost", m.len(), w.Stored(), w.Lost())
		}
		// It goes away and does not come back: the rest is lost, and counted.
		m.fail(errors.New("away"))
		for i := range 10 {
			w.Add(record(i))
		}
		stop()
		if w.Stored() != 101 || w.Lost() != 60 || w.Queued() != 0 {
			t.Errorf("in the end %d stored, %d lost, %d waiting", w.Stored(), w.Lost(), w.Queued())
		}
	})
}

// A store that was done and not acknowledged is repeated: a record may be there
// twice, and none is missing.
func TestWriterRepeatsWhatWasNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{err: errors.New("lost reply"), applied: true}
		w := journal.NewWriter(m, journal.WriterOptions{})
		stop := start(w)
		w.Add(record(1))
		time.Sleep(250 * time.Millisecond)
		m.fail(nil)
		time.Sleep(time.Minute)
		stop()
		if m.len() < 2 || w.Stored() != 1 || w.Lost() != 0 {
			t.Errorf("%d are there, %d stored, %d lost", m.len(), w.Stored(), w.Lost())
		}
	})
}

// However many records there are, most of the index's time stays free for other
// work, and no queued record is lost.
func TestWriterLeavesTimeToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{took: 10 * time.Millisecond}
		w := journal.NewWriter(m, journal.WriterOptions{})
		stop := start(w)
		began := time.Now()
		for i := range journal.DefaultQueue {
			w.Add(record(i))
		}
		for w.Stored() < journal.DefaultQueue {
			time.Sleep(10 * time.Millisecond)
		}
		took := time.Since(began)
		_, busy := m.effort()
		if busy > took/3 || took > 10*time.Second {
			t.Errorf("storing took %v of %v", busy, took)
		}
		// At the end there is no time to lose.
		for i := range journal.DefaultQueue {
			w.Add(record(i))
		}
		began = time.Now()
		stop()
		_, all := m.effort()
		if took := time.Since(began); took > all-busy+time.Second || w.Stored() != 2*journal.DefaultQueue || w.Lost() != 0 {
			t.Errorf("to stop took %v, %v of it storing; %d stored, %d lost", took, all-busy, w.Stored(), w.Lost())
		}
	})
}

func TestWriterPrunes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		w := journal.NewWriter(m, journal.WriterOptions{Retain: time.Hour})
		stop := start(w)
		defer stop()
		w.Add(record(1))
		time.Sleep(50 * time.Minute)
		w.Add(record(2))
		time.Sleep(time.Minute)
		if m.len() != 2 {
			t.Errorf("%d records after 51 minutes", m.len())
		}
		time.Sleep(30 * time.Minute)
		if m.len() != 1 || m.records[0].ID != "2" {
			t.Errorf("after 81 minutes: %+v", m.records)
		}
	})
}

// halfPruner removes a batch at each call, until none is left, and always has something to
// complain about.
type halfPruner struct {
	memory
	left, limit int
}

func (p *halfPruner) PruneRecords(_ context.Context, q journal.Prune) (int, error) {
	p.limit = q.Limit
	n := min(p.left, q.Limit)
	p.left -= n
	return n, errors.New("no right to make a partition")
}

// An error that does not keep records from going does not end a prune.
func TestWriterPrunesInSpiteOfAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &halfPruner{left: 100_000}
		stop := start(journal.NewWriter(p, journal.WriterOptions{Retain: time.Hour}))
		time.Sleep(time.Minute)
		stop()
		if p.left != 0 || p.limit >= 100_000 {
			t.Errorf("%d records are left, with batches of %d", p.left, p.limit)
		}
	})
}

// The journal is bounded in size, and a writer that keeps all records removes none.
func TestWriterKeepsToItsSize(t *testing.T) {
	for keepAll, want := range map[bool]int{false: 100, true: 150} {
		synctest.Test(t, func(t *testing.T) {
			m := &memory{}
			w := journal.NewWriter(m, journal.WriterOptions{Retain: -1, MaxSize: 50_000, KeepAll: keepAll})
			stop := start(w)
			defer stop()
			for i := range 150 {
				w.Add(record(i))
			}
			time.Sleep(11 * time.Minute)
			if got := m.all(); len(got) != want || got[want-1].ID != "149" {
				t.Errorf("%d records, want %d", len(got), want)
			}
		})
	}
}

func BenchmarkAdd(b *testing.B) {
	w := journal.NewWriter(&memory{}, journal.WriterOptions{Queue: 1 << 20})
	stop := start(w)
	defer stop()
	for name, changesNothing := range map[string]bool{"queued": false, "gathered": true} {
		b.Run(name, func(b *testing.B) {
			r := record(1)
			r.ChangesNothing, r.Outcome = changesNothing, journal.OutcomeOK
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					w.Add(r)
				}
			})
		})
	}
}
