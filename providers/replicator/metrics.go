package replicator

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts the outcomes of copies. Package guard measures the calls.
type metrics struct {
	copies *prometheus.CounterVec
}

// The outcomes that are counted.
const (
	outcomeHit      = "hit"
	outcomeUploaded = "uploaded"
	outcomeAdopted  = "adopted"
	outcomeFailed   = "failed"
	outcomeEvicted  = "evicted"
	outcomeDeleted  = "deleted"
	outcomeLost     = "lost"
)

func newMetrics(registry prometheus.Registerer) *metrics {
	if registry == nil {
		registry = prometheus.NewRegistry()
	}
	m := &metrics{copies: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "casgate_copies_total",
		Help: "What became of copies: looked up (hit), uploaded, adopted after a lost reply, failed (an attempt), evicted, deleted, lost by the provider.",
	}, []string{"provider", "outcome"})}
	registry.MustRegister(m.copies)
	return m
}

func (m *metrics) count(provider, outcome string) {
	m.copies.WithLabelValues(provider, outcome).Inc()
}
