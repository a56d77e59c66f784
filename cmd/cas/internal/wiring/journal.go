package wiring

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cas/journal"
	"casgate/cmd/cas/internal/settings"
)

// OpenJournal starts the journal of a gateway; w is nil if it is off. Stop ends it after
// the last record: it waits until all records are stored, for some seconds at most.
func OpenJournal(c settings.Journal, x journal.Store, registry prometheus.Registerer, log zerolog.Logger) (w *journal.Writer, stop func()) {
	if c.JournalMode == "off" {
		return nil, func() {}
	}
	retain := c.JournalRetain
	if retain <= 0 {
		retain = -1
	}
	w = journal.NewWriter(x, journal.WriterOptions{Retain: retain, MaxSize: int64(c.JournalMaxSize), Log: log})
	registerJournalMetrics(registry, w)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.Run(ctx) // it returns ctx's error, and logs all others
	}()
	return w, func() { cancel(); <-ended }
}

func registerJournalMetrics(registry prometheus.Registerer, w *journal.Writer) {
	registry.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "casgate_journal_records_total",
			Help: "Records of operations stored.",
		}, func() float64 { return float64(w.Stored()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "casgate_journal_gathered_total",
			Help: "Operations stored in the record of an earlier one, such as repeated downloads of a blob.",
		}, func() float64 { return float64(w.Gathered()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "casgate_journal_lost_total",
			Help: "Operations whose records were dropped, since the index could not keep up or was away.",
		}, func() float64 { return float64(w.Lost()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "casgate_journal_queued",
			Help: "Records of operations that wait to be stored.",
		}, func() float64 { return float64(w.Queued()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "casgate_journal_gathering",
			Help: "Records of several operations that wait for the end of their minute.",
		}, func() float64 { return float64(w.Gathering()) }),
	)
}
