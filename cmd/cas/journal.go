package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cas/journal"
)

// journalConfig says what a gateway keeps of its operations.
type journalConfig struct {
	Journal       string        `name:"journal" env:"CAS_JOURNAL" default:"on" enum:"on,off" help:"on records every operation in the index; off records none, and removes none."`
	JournalRetain time.Duration `name:"journal-retain" env:"CAS_JOURNAL_RETAIN" default:"720h" help:"How long the records of operations are kept; 0: for ever."`
}

// openJournal runs the gateway's journal; nil where it is off. The function
// returned stops it, once there is nothing more to record, and waits until all is
// stored, for some seconds at most.
func (c journalConfig) openJournal(x journal.Store, registry prometheus.Registerer, log zerolog.Logger) (w *journal.Writer, stop func()) {
	if c.Journal == "off" {
		return nil, func() {}
	}
	retain := c.JournalRetain
	if retain <= 0 {
		retain = -1
	}
	w = journal.NewWriter(x, journal.WriterOptions{Retain: retain, Log: log})
	registerJournalMetrics(registry, w)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.Run(ctx) // ends with ctx's error, and logs all others
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
			Name: "casgate_journal_lost_total",
			Help: "Records of operations dropped, since the index could not keep up or was away.",
		}, func() float64 { return float64(w.Lost()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "casgate_journal_queued",
			Help: "Records of operations that wait to be stored.",
		}, func() float64 { return float64(w.Queued()) }),
	)
}
