package wiring

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"casgate/index/pgindex"
)

// MeasureIndex registers the metrics of an index in Postgres: of its queries, and of its
// connections. SQLite has none.
func MeasureIndex(x Index, registry *prometheus.Registry) {
	if p, ok := x.(*pgindex.Index); ok {
		p.ObserveQueries(queryMetrics(registry))
		registerConnections(registry, p.Connections)
	}
}

// queryMetrics registers the metrics of the queries to Postgres, and returns what counts one.
// A failed query is not always a fault: some statements lose races on purpose.
func queryMetrics(registry *prometheus.Registry) func(took time.Duration, outcome pgindex.QueryOutcome) {
	queries := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "casgate_index_query_seconds",
		Help:    "Queries to Postgres by outcome: ok, failed, or canceled (the client left, or the time was over). SQLite has no such figures.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, []string{"outcome"})
	registry.MustRegister(queries)
	return func(took time.Duration, outcome pgindex.QueryOutcome) {
		queries.WithLabelValues(string(outcome)).Observe(took.Seconds())
	}
}

// registerConnections registers the metrics of the pool of connections to Postgres.
func registerConnections(registry *prometheus.Registry, connections func() pgindex.Connections) {
	gauge := func(name, help string, value func(pgindex.Connections) float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(connections()) }))
	}
	counter := func(name, help string, value func(pgindex.Connections) float64) {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return value(connections()) }))
	}
	gauge("casgate_index_connections_used", "Connections to Postgres that a call uses now.", func(c pgindex.Connections) float64 { return float64(c.Used) })
	gauge("casgate_index_connections_idle", "Connections to Postgres that wait for a call.", func(c pgindex.Connections) float64 { return float64(c.Idle) })
	gauge("casgate_index_connections_max", "Connections to Postgres that this gateway may have (pool_max_conns).", func(c pgindex.Connections) float64 { return float64(c.Max) })
	counter("casgate_index_connection_waits_total", "Calls that had to wait for a connection to Postgres.", func(c pgindex.Connections) float64 { return float64(c.Waits) })
	counter("casgate_index_connection_wait_seconds_total", "Time that calls took to get a connection to Postgres.", func(c pgindex.Connections) float64 { return c.Waited.Seconds() })
}
