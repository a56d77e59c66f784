package journal_test

import (
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/journal"
)

// read is a record of a download of a blob.
func read(blob int) journal.Record {
	r := record(blob)
	r.Kind, r.Actor, r.Bytes, r.Duration, r.Outcome, r.ChangesNothing = journal.KindDownload, "token:a", 10, time.Millisecond, journal.OutcomeOK, true
	binary.BigEndian.PutUint64(r.Digest[:], uint64(blob)+1)
	return r
}

// totals returns the numbers of operations and of bytes in records, by kind.
func totals(records []journal.Record) (operations, bytes map[journal.Kind]int64) {
	operations, bytes = map[journal.Kind]int64{}, map[journal.Kind]int64{}
	for _, r := range records {
		operations[r.Kind] += max(r.Count, 1)
		bytes[r.Kind] += r.Bytes
	}
	return operations, bytes
}

// A million reads of 16 blobs in a minute leave at most 100 records. None is lost, and the
// counts are right. (Fewer reads between two edits.)
func TestHotReadsAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		w := journal.NewWriter(m, journal.WriterOptions{})
		stop := start(w)
		const blobs, turns = 16, 600
		each := castest.Thorough(105, 5) // reads of each blob in a turn
		for range turns {
			for i := range each * blobs {
				w.Add(read(i % blobs))
			}
			time.Sleep(time.Minute / turns)
		}
		stop()
		reads := int64(turns * each * blobs)
		operations, bytes := totals(m.records)
		if len(m.records) > 100 || operations[journal.KindDownload] != reads || bytes[journal.KindDownload] != 10*reads || w.Lost() != 0 {
			t.Errorf("%d records of %d reads of %d bytes, %d lost; want at most 100 of %d", len(m.records), operations[journal.KindDownload], bytes[journal.KindDownload], w.Lost(), reads)
		}
		if got := w.Stored() + w.Gathered(); got != uint64(reads) {
			t.Errorf("%d stored and %d gathered, of %d", w.Stored(), w.Gathered(), reads)
		}
	})
}

// The first read is recorded at once, and the others once a minute, with their sums. After a
// minute without reads it begins anew.
func TestGatheredRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		w := journal.NewWriter(m, journal.WriterOptions{})
		stop := start(w)
		defer stop()
		at := func(r journal.Record, id string) journal.Record {
			r.ID, r.Start, r.ChangesNothing = id, time.Now(), false
			return r
		}
		add := func(r journal.Record, id string) (added journal.Record) {
			r.ID, r.Start = id, time.Now()
			w.Add(r)
			return at(r, id)
		}
		var want []journal.Record
		check := func(when string) {
			t.Helper()
			got := m.all()
			for i := range got {
				got[i].ChangesNothing = false
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		want = append(want, add(read(1), "first"))
		time.Sleep(2 * time.Second)
		check("at once")

		several := add(read(1), "second")
		time.Sleep(time.Second)
		add(read(1), "third")
		time.Sleep(time.Second)
		other := add(read(2), "of another blob")
		want = append(want, other)
		several.Count, several.LastStart, several.Duration, several.Bytes = 3, time.Now(), 3*time.Millisecond, 30
		add(read(1), "fourth")
		time.Sleep(30 * time.Second)
		check("within the minute")
		if w.Gathering() != 1 || w.Queued() != 0 {
			t.Errorf("%d are gathered and %d wait, want one and none", w.Gathering(), w.Queued())
		}
		time.Sleep(30 * time.Second)
		want = append(want, several)
		check("after a minute")

		// One more in the next minute is a record like any other.
		alone := add(read(1), "alone")
		time.Sleep(2 * time.Second)
		check("in the next minute")
		time.Sleep(time.Minute)
		want = append(want, alone)
		check("after the next minute")
		time.Sleep(time.Minute)
		want = append(want, add(read(1), "first again"))
		time.Sleep(2 * time.Second)
		check("after a pause")
	})
}

// Each failure, and each operation that changes something, has its own record. So have
// operations of other actors, files and providers in a minute.
func TestWhatIsNotGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		w := journal.NewWriter(m, journal.WriterOptions{})
		stop := start(w)
		n := 0
		for _, change := range []func(r *journal.Record){
			func(r *journal.Record) { r.Outcome, r.ErrorCode = journal.OutcomeFailed, "object_missing" },
			func(r *journal.Record) { r.Outcome = journal.OutcomeBroken },
			func(r *journal.Record) { r.ChangesNothing = false },
		} {
			for range 5 {
				r := read(1)
				change(&r)
				w.Add(r)
				n++
			}
		}
		for _, change := range []func(r *journal.Record){
			func(*journal.Record) {},
			func(r *journal.Record) { r.Actor = "token:b" },
			func(r *journal.Record) { r.FileID = "file-1" },
			func(r *journal.Record) { r.Provider = "kimi" },
			func(r *journal.Record) { r.Kind = journal.KindSync },
		} {
			r := read(1)
			change(&r)
			w.Add(r)
			n++
		}
		stop()
		if len(m.records) != n {
			t.Errorf("%d records; want %d", len(m.records), n)
		}

		each := journal.NewWriter(m, journal.WriterOptions{Gather: -1})
		stop = start(each)
		for range 5 {
			each.Add(read(1))
		}
		stop()
		if len(m.records) != n+5 {
			t.Errorf("%d records; want %d", len(m.records), n+5)
		}
	})
}

// Nothing is dropped while reads come faster than records are stored: of very many blobs,
// and while the store is away.
func TestReadsAreNotDropped(t *testing.T) {
	for name, away := range map[string]error{"there": nil, "away at first": errors.New("away")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &memory{took: 10 * time.Millisecond, err: away}
				w := journal.NewWriter(m, journal.WriterOptions{Queue: 100})
				stop := start(w)
				reads := castest.Thorough(60_000, 25_000) // of as many blobs, more than are gathered
				for i := range reads {
					w.Add(read(i))
					if i%4000 == 3999 {
						time.Sleep(100 * time.Millisecond) // 40,000 a second
					}
				}
				m.fail(nil)
				time.Sleep(3 * time.Minute)
				stop()
				if operations, bytes := totals(m.records); operations[journal.KindDownload] != int64(reads) || bytes[journal.KindDownload] != int64(10*reads) || w.Lost() != 0 {
					t.Errorf("%d reads of %d bytes are recorded, %d lost; want %d", operations[journal.KindDownload], bytes[journal.KindDownload], w.Lost(), reads)
				}
				// Those of many blobs in one record name none of them.
				for _, r := range m.records {
					if r.Count > 1 && r.Digest != (cas.Digest{}) {
						t.Fatalf("%d reads of %s; each blob was read once", r.Count, r.Digest)
					}
				}
			})
		})
	}
}
