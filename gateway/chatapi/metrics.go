package chatapi

import (
	"cmp"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests to models. No label is a client's invention.
type metrics struct {
	requests   *prometheus.CounterVec
	firstBytes *prometheus.HistogramVec
	tokenCount *prometheus.CounterVec
	parts      *prometheus.CounterVec
	heals      *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casgate_chat_requests_total",
			Help: "Requests to models, by provider and status of the answer.",
		}, []string{"provider", "status"}),
		firstBytes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "casgate_chat_first_byte_seconds",
			Help:    "Time from the request to a provider to the header of its answer.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600},
		}, []string{"provider"}),
		tokenCount: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casgate_chat_tokens_total",
			Help: "Tokens that answers state, by kind: prompt, cached (a part of prompt) and completion.",
		}, []string{"provider", "kind"}),
		parts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casgate_chat_parts_total",
			Help: "Parts of requests that stand for files, by kind of reference and by source: file, digest, inline or passed.",
		}, []string{"provider", "kind", "source"}),
		heals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casgate_chat_healed_total",
			Help: "Requests that were sent again since the provider had lost a file.",
		}, []string{"provider"}),
	}
	registry.MustRegister(m.requests, m.firstBytes, m.tokenCount, m.parts, m.heals)
	return m
}

func (m *metrics) request(provider string, status int) {
	m.requests.WithLabelValues(cmp.Or(provider, "none"), strconv.Itoa(status)).Inc()
}

func (m *metrics) firstByte(provider string, took time.Duration) {
	m.firstBytes.WithLabelValues(provider).Observe(took.Seconds())
}

func (m *metrics) part(provider, kind, source string) {
	m.parts.WithLabelValues(provider, kind, source).Inc()
}

func (m *metrics) healedOne(provider string) { m.heals.WithLabelValues(provider).Inc() }

// tokens counts the tokens that the end of an answer states.
func (m *metrics) tokens(provider string, tail []byte) {
	stated, ok := usageOf(tail)
	if !ok {
		return
	}
	for kind, n := range map[string]int64{"prompt": stated.prompt, "cached": stated.cached, "completion": stated.completion} {
		if n > 0 {
			m.tokenCount.WithLabelValues(provider, kind).Add(float64(n))
		}
	}
}
