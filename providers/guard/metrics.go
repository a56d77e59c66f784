package guard

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"casgate/providers"
)

// metrics are shared by all guards of a registry. Labels are names of providers, calls
// and outcomes: never an account, a digest or an id.
type metrics struct {
	calls    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	uploaded *prometheus.CounterVec
	running  *prometheus.GaugeVec
	retries  *prometheus.CounterVec
	breakers *prometheus.GaugeVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	if registry == nil {
		registry = prometheus.NewRegistry()
	}
	return &metrics{
		calls: shared(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casgate_provider_calls_total",
			Help: "Calls to providers that have ended, by outcome: ok, or the kind of error.",
		}, []string{"provider", "op", "outcome"})),
		seconds: shared(registry, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "casgate_provider_call_seconds",
			Help:    "Duration of calls to providers, with waits and retries, until the end of their streams.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600},
		}, []string{"provider", "op"})),
		uploaded: shared(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casgate_provider_uploaded_bytes_total",
			Help: "Bytes of the files uploaded to providers.",
		}, []string{"provider"})),
		running: shared(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "casgate_provider_calls_in_flight",
			Help: "Running calls to providers, including those that wait.",
		}, []string{"provider", "op"})),
		retries: shared(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casgate_provider_retries_total",
			Help: "Retries of failed calls to providers.",
		}, []string{"provider", "op"})),
		breakers: shared(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "casgate_provider_breakers",
			Help: "Circuit breakers in each state: closed, half-open, open.",
		}, []string{"provider", "state"})),
	}
}

// shared registers a collector, or returns the one that another guard registered.
func shared[C prometheus.Collector](registry prometheus.Registerer, c C) C {
	err := registry.Register(c)
	if known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		return known.ExistingCollector.(C)
	}
	if err != nil {
		panic(err) // another metric has this name: a bug
	}
	return c
}

// observe counts a call that has ended.
func (m *metrics) observe(provider string, c *call, took time.Duration, err error) {
	m.calls.WithLabelValues(provider, string(c.op), outcome(err)).Inc()
	m.seconds.WithLabelValues(provider, string(c.op)).Observe(took.Seconds())
	if c.op == providers.OpUpload && err == nil {
		m.uploaded.WithLabelValues(provider).Add(float64(c.size))
	}
}

// outcome is ok, or an error's kind.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return string(providers.KindOf(err))
}
