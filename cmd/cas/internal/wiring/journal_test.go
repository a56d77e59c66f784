package wiring

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cas/journal"
	"casgate/cmd/cas/internal/settings"
	"casgate/index/sqliteindex"
)

// The settings of the journal mean what they say, and its metrics count.
func TestJournalSettings(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config settings.Journal
		stored float64 // -1: there are no metrics
		kept   int     // of the record of long ago and the one made now
	}{
		"default":  {settings.Journal{JournalMode: "on", JournalRetain: 720 * time.Hour}, 1, 1},
		"for ever": {settings.Journal{JournalMode: "on", JournalRetain: 0}, 1, 2},
		"off":      {settings.Journal{JournalMode: "off", JournalRetain: time.Hour}, -1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, err := sqliteindex.Open(t.Context(), filepath.Join(t.TempDir(), "index"))
			if err == nil {
				t.Cleanup(x.Close)
				err = x.Migrate(t.Context())
			}
			old := journal.Record{ID: "old", Kind: journal.KindUpload, Start: time.Now().Add(-1000 * time.Hour)}
			if err == nil {
				err = x.AppendRecords(t.Context(), []journal.Record{old})
			}
			if err != nil {
				t.Fatal(err)
			}
			registry := prometheus.NewRegistry()
			w, stop := OpenJournal(tt.config, x, registry, zerolog.Nop())
			if w != nil {
				w.Add(journal.Record{ID: "new", Kind: journal.KindUpload, Start: time.Now()})
				await(t, func() bool { return w.Stored() == 1 }) // after the old one is pruned
			}
			stop()
			entries, err := x.Records(t.Context(), journal.Query{Limit: 10})
			if err != nil || len(entries) != tt.kept {
				t.Errorf("%+v, %v", entries, err)
			}
			counts := map[string]float64{"casgate_journal_records_total": -1}
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, family := range families {
				m := family.Metric[0]
				counts[family.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
			if counts["casgate_journal_records_total"] != tt.stored || counts["casgate_journal_lost_total"] != 0 || counts["casgate_journal_queued"] != 0 {
				t.Errorf("%v", counts)
			}
		})
	}
}

func await(t *testing.T, is func() bool) {
	t.Helper()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(time.Minute); !is(); <-poll.C {
		if time.Now().After(deadline) {
			t.Fatal("the record is not stored")
		}
	}
}
