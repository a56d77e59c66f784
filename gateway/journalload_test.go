package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/gateway"
	"casgate/gateway/api"
)

// While the index is down, records fill the queue. Further records are counted, and
// no request waits.
func TestIndexAwayAndTheJournal(t *testing.T) {
	t.Parallel()
	p := served(t)
	p.journal = journal.WriterOptions{Queue: 50}
	s := start(t, p, func(_ *gateway.Options, o *cas.Options) { o.ReadWithoutIndex = true })
	b := random(100)
	d := s.put(b)
	s.wantBlob(b)
	eventually(t, "two records", func() bool { return s.journal.Stored() == 2 })
	p.indexOutage.cut()
	const reads = 1200 // more than a batch and the queue hold
	began := time.Now()
	var readers errgroup.Group
	for range 8 {
		readers.Go(func() error {
			for range reads / 8 {
				if a, err := s.try("GET", s.path(d), nil); err != nil || a.StatusCode != 200 {
					return fmt.Errorf("%v, %v", a, err)
				}
			}
			return nil
		})
	}
	if err := readers.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d reads while the index was away took %v", reads, time.Since(began))
	p.indexOutage.end()
	eventually(t, "the journal to catch up", func() bool { return s.journal.Stored()+s.journal.Lost() == reads+2 })
	if s.journal.Lost() == 0 {
		t.Error("all were stored: the test shows nothing")
	}
	eventually(t, "the log to tell", func() bool { return strings.Contains(s.logs.String(), "operations went unrecorded") })
	page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?limit=1000", nil))
	count := len(page.Operations)
	for next := page.Next; next != ""; {
		more := decode[api.RecordPage](t, s.do("GET", "/v1/operations?limit=1000&after="+next, nil))
		count, next = count+len(more.Operations), more.Next
	}
	if page.Lost != s.journal.Lost() || count != int(s.journal.Stored()) {
		t.Errorf("%d records are there and %d stored; %d are said to be lost of %d", count, s.journal.Stored(), page.Lost, s.journal.Lost())
	}
}

// Under load each operation is stored or counted as lost, and none is there twice.
func TestJournalUnderLoad(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		l := load{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}, url: s.url, token: s.token}
		t.Cleanup(l.client.CloseIdleConnections)
		const hot = 10
		for range hot {
			l.hot = append(l.hot, s.put(random(4<<10)))
		}
		began := time.Now()
		loadOps := volume(20_000, 1000)
		l.run(loadOps, 16, func(err error) { t.Error(err) })
		t.Logf("%d operations took %v; %d wait to be stored", loadOps, time.Since(began), s.journal.Queued())
		done := uint64(loadOps + hot)
		for some := done / 20; some <= done; some += done / 20 {
			eventually(t, "the journal to go on", func() bool { return s.journal.Stored()+s.journal.Lost() >= some })
		}
		eventually(t, "the journal to have all", func() bool { return s.journal.Stored()+s.journal.Lost() >= done })
		if stored, lost := s.journal.Stored(), s.journal.Lost(); stored+lost != done || lost > 0 {
			t.Errorf("%d operations: %d stored, %d lost", done, stored, lost)
		}
		ids := map[string]bool{}
		q := journal.Query{Limit: 1000}
		for {
			entries, err := p.index.Records(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				ids[e.ID] = true
			}
			if len(entries) < q.Limit {
				break
			}
			q.Before = entries[len(entries)-1].Cursor
		}
		if uint64(len(ids)) != done {
			t.Errorf("%d operations are there of %d", len(ids), done)
		}
	})
}
