package sqliteindex_test

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/index/sqliteindex/sqlitetest"
)

// BenchmarkAppendRecords stores records in batches of the journal's writer, and reports the
// processor time of a record.
func BenchmarkAppendRecords(b *testing.B) {
	x := sqlitetest.Open(b, filepath.Join(b.TempDir(), "index.sqlite"))
	defer x.Close()
	const batch = 256
	before := processorTime(b)
	for b.Loop() {
		records := make([]journal.Record, batch)
		for i := range records {
			records[i] = journal.Record{
				ID: uuid.Must(uuid.NewV7()).String(), Kind: journal.KindChat, Actor: "token:abcdefgh", Digest: cas.DigestOf([]byte("a picture")),
				Provider: "kimi", Start: time.Now(), Duration: time.Millisecond, Bytes: 300, Outcome: journal.OutcomeOK,
			}
		}
		if err := x.AppendRecords(b.Context(), records); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N*batch), "cpu-µs/record")
}

// processorTime returns the processor time that this process has used.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
